// kubectl-l2wire inspect: what this node's kernel has of a wire, as JSON. `describe` runs it on each
// node; it needs neither a store nor a cluster.
import { join } from 'node:path'

import type { Command } from 'commander'

import { decodeAttachment, type Attachment } from '../core/attachment.ts'
import { renderCauses } from '../core/errors.ts'
import type { AttachmentId } from '../core/wire.ts'
import { inspectWire, type InspectedEnd } from '../kernel/inspect.ts'
import { run } from '../kernel/run.ts'
import { listFolder, readJsonFile } from '../store/json-file.ts'
import { OptionError } from './option-error.ts'
import { newOutputOption, printValue, type OutputFormat } from './output.ts'
import { DEFAULT_STATE_DIR } from './place-options.ts'

interface InspectFlags {
  readonly namespace: string
  readonly end: readonly AttachmentId[]
  readonly stateDir: string
  readonly output: OutputFormat
}

export function addInspectCommand(program: Command): void {
  addEndOption(
    program
      .command('inspect')
      .description("a wire's devices on this node, as its kernel has them")
      .argument('<wire>', 'name of the wire')
      .option('-n, --namespace <name>', 'namespace of the wire', 'default')
      .addOption(newOutputOption().default('json')),
  )
    .option('--state-dir <dir>', 'what the agent remembers', DEFAULT_STATE_DIR)
    .action(runInspect)
}

/** The option by which a command on a node is told an end; repeatable. */
export function addEndOption(command: Command): Command {
  return command.option(
    '--end <CONTAINERID@IFNAME>',
    'an end of the wire on this node; may be given twice',
    (text: string, earlier: readonly AttachmentId[]) => [...earlier, decodeEnd(text)],
    [] as readonly AttachmentId[],
  )
}

async function runInspect(name: string, flags: InspectFlags): Promise<void> {
  const attachments = await listAttachments(flags.stateDir)
  const ends = flags.end.map((end) => toInspectedEnd(end, attachments))
  const id = { namespace: flags.namespace, name }
  await printValue(await inspectWire(run, id, ends), flags.output)
}

/** An end with the namespace and the tap that the agent's documents name. */
export function toInspectedEnd(
  end: AttachmentId,
  attachments: readonly Attachment[],
): InspectedEnd {
  const ofSandbox = attachments.filter(({ containerID }) => containerID === end.containerID)
  const own = ofSandbox.find(({ kind, ifname }) => kind === 'wire' && ifname === end.ifname)
  const tap = ofSandbox.find((one) => one.kind === 'tap' && one.podLink === end.ifname)
  return {
    ...end,
    netns: own?.netns.path,
    tap: tap?.kind === 'tap' ? tap.tap : undefined,
  }
}

/** The documents of the agent's state directory; what cannot be read is told and counts as not there. */
export async function listAttachments(
  stateDir: string,
  onUnreadable: (error: unknown) => void = sayUnreadable,
): Promise<readonly Attachment[]> {
  const folder = join(stateDir, 'attachments')
  const attachments: Attachment[] = []
  for (const file of await listFolder(folder)) {
    if (!file.endsWith('.json')) continue
    try {
      const path = join(folder, file)
      const value = await readJsonFile(path)
      if (value !== undefined) attachments.push(decodeAttachment(value, path))
    } catch (error) {
      onUnreadable(error)
    }
  }
  return attachments
}

function sayUnreadable(error: unknown): void {
  process.stderr.write(`kubectl-l2wire: ${renderCauses(error)}\n`)
}

function decodeEnd(text: string): AttachmentId {
  const [containerID = '', ifname = '', ...more] = text.split('@')
  if (containerID === '' || ifname === '' || more.length > 0)
    throw new OptionError('--end', text, 'CONTAINERID@IFNAME')
  return { containerID, ifname }
}
