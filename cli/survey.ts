// kubectl-l2wire survey: everything of ours on this node, as JSON: what the agent remembers, what is in the
// kernel. `doctor` runs it on each node; it needs neither a store nor a cluster.
import { access, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Command } from 'commander'

import type { NodeSurvey, SurveyedAttachment } from '../core/doctor-facts.ts'
import { renderCauses } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import { toAttachmentKey } from '../core/wire.ts'
import { observeNode } from '../kernel/observe-node.ts'
import { run } from '../kernel/run.ts'
import { listNamedAsOurs, lookAtSandbox } from '../kernel/survey.ts'
import { CliError } from './cli-error.ts'
import { listAttachments } from './inspect.ts'
import { newOutputOption, printValue, type OutputFormat } from './output.ts'
import { DEFAULT_STATE_DIR } from './place-options.ts'

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
    .description('everything of ours on this node: what the agent remembers, what the kernel has')
    .addOption(newOutputOption().default('json'))
    .option('--state-dir <dir>', 'what the agent remembers', DEFAULT_STATE_DIR)
    .option('--device-plugins <dir>', "the kubelet's folder of device plugins", DEVICE_PLUGINS)
    .action(async (flags: SurveyFlags) => printValue(await survey(flags), flags.output))
}

async function survey({ stateDir, devicePlugins }: SurveyFlags): Promise<NodeSurvey> {
  try {
    await access(stateDir)
  } catch (cause) {
    throw new CliError(
      `Cannot look at the agent's state directory "${stateDir}": ${(cause as Error).message}; --state-dir names another one`,
      { cause },
    )
  }
  const unreadable: string[] = []
  // Devices after documents: an end that comes meanwhile has its document first, and so is not there twice
  // nor astray for long.
  const attachments = await surveyAttachments(stateDir, unreadable)
  const [observation, named] = await Promise.all([observeNode(run), listNamedAsOurs(run)])
  return {
    version: VERSION,
    attachments,
    unreadable,
    links: [...observation.links].map(([name, link]) => ({ name, ...link })),
    foreign: named.filter((name) => !observation.links.has(name)),
    peers: [...observation.peers].sort(),
    hasTable: observation.hasTable,
    hasKubelet: (await isThere(devicePlugins))
      ? await isThere(join(devicePlugins, 'kubelet.sock'))
      : null,
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
      surveyed.push({ attachment, ...(await lookAtSandbox(run, attachment)), ageSeconds })
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
