// kubectl-l2wire survey: everything of ours on this node, as JSON: the agent's documents, and what the agent itself
// finds. `doctor` runs it on each node; it needs neither a store nor a cluster, and says so where no agent answers.
import { access, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Command } from 'commander'

import {
  decodeNodeDiff,
  type NodeDiff,
  type NodeSurvey,
  type SurveyedAttachment,
} from '../../core/doctor/facts.ts'
import { renderCauses } from '../../core/errors.ts'
import { VERSION } from '../../core/version.ts'
import { toAttachmentKey } from '../../core/wire/wire.ts'
import { askStatus } from '../../kernel/ask-agent.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { askNode, findSocket } from '../ask-node.ts'
import { CliError } from '../cli-error.ts'
import { DEFAULT_STATE_DIR, listAttachments } from '../documents.ts'
import { newOutputOption, printValue, type OutputFormat } from '../output.ts'
import { explain } from '../place/place.ts'

/** Where deploy/ mounts it, wherever the node has it. */
const DEVICE_PLUGINS = '/var/lib/kubelet/device-plugins'

interface SurveyFlags {
  readonly stateDir: string
  readonly devicePlugins: string
  readonly output: OutputFormat
}

export function addSurveyCommand(program: Command): void {
  program
    .command('survey')
    .description('everything of ours on this node: what the agent remembers, what it finds wrong')
    .addOption(newOutputOption().default('json'))
    .option('--state-dir <dir>', 'what the agent remembers', DEFAULT_STATE_DIR)
    .option('--device-plugins <dir>', "the kubelet's folder of device plugins", DEVICE_PLUGINS)
    .action(async (flags: SurveyFlags) => printValue(await survey(flags), flags.output))
}

/** Throws CliError without a state directory. */
export async function survey({
  stateDir,
  devicePlugins = DEVICE_PLUGINS,
}: Partial<SurveyFlags> & Pick<SurveyFlags, 'stateDir'>): Promise<NodeSurvey> {
  try {
    await access(stateDir)
  } catch (cause) {
    throw new CliError(
      `Cannot look at the agent's state directory "${stateDir}": ${(cause as Error).message}; --state-dir names another one`,
      { cause },
    )
  }
  const unreadable: string[] = []
  const attachments = await surveyAttachments(stateDir, unreadable)
  const [refusal, diff] = await Promise.all([findRefusal(stateDir), readDiff(stateDir)])
  const hasKubelet = (await isThere(devicePlugins))
    ? await isThere(join(devicePlugins, 'kubelet.sock'))
    : null
  return { version: VERSION, attachments, refusal, unreadable, hasKubelet, ...diff }
}

/** What a probe waits for, and a little: a node may be busy. */
const STATUS_MS = 10_000

// Undefined where no agent has said where it listens: none that could has run here.
async function findRefusal(stateDir: string): Promise<string | null | undefined> {
  const socket = await findSocket(stateDir)
  if (socket === undefined) return undefined
  return askStatus(socket, STATUS_MS).then(() => null, renderCauses)
}

async function readDiff(stateDir: string): Promise<NodeDiff> {
  try {
    return decodeNodeDiff(await askNode(stateDir, { question: 'node' }), 'diff: ')
  } catch (error) {
    const reason = `devices are not compared with wires: ${explain(error)}`
    return { findings: [], unseen: [reason], port: null }
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function surveyAttachments(
  stateDir: string,
  unreadable: string[],
): Promise<readonly SurveyedAttachment[]> {
  const attachments = await listAttachments(stateDir, (error) =>
    unreadable.push(renderCauses(error)),
  )
  const surveyed: SurveyedAttachment[] = []
  for (const attachment of attachments) {
    const ageSeconds = await readAge(
      join(stateDir, 'attachments', `${toAttachmentKey(attachment)}.json`),
    )
    // A document that went meanwhile is none.
    if (ageSeconds !== undefined)
      surveyed.push({
        attachment,
        isSandboxThere: await isSameNetns(attachment.netns),
        ageSeconds,
      })
  }
  return surveyed
}

async function readAge(path: string): Promise<number | undefined> {
  try {
    return Math.round((Date.now() - (await stat(path)).mtimeMs) / 1000)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
