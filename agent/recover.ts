// What a starting agent does about what it finds: ADDs that were cut off are taken back, sandboxes
// that are gone are forgotten, and the wires that are left are brought to where they should be.
import type { Attachment, WireAttachment } from '../core/attachment.ts'
import { toWireKey } from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import { isSameNetns } from '../kernel/netns.ts'
import type { Node } from './node.ts'
import { untap } from './tap-verbs.ts'
import { joinWire, unplug } from './wire-verbs.ts'

/** One wire's trouble is logged and does not keep the others waiting. */
export async function recover(node: Node): Promise<void> {
  const attachments = await node.state.list((error) => {
    node.log.error({ err: error }, 'cannot read an attachment, it is left alone')
  })
  const living: WireAttachment[] = []
  for (const attachment of attachments) {
    if (await isToBeDropped(attachment)) await tryStep(node, attachment, drop)
    else if (attachment.kind === 'wire') living.push(attachment)
  }
  const wires = new Map(living.map((attachment) => [toWireKey(attachment.wire), attachment]))
  for (const attachment of wires.values())
    await tryStep(node, attachment, async () => joinWire(node, attachment.wire, undefined))
  node.log.info({ attachments: attachments.length, wires: wires.size }, 'recovered')
}

async function isToBeDropped(attachment: Attachment): Promise<boolean> {
  if (attachment.phase === 'adding') return true
  // A veth dies with its namespace, while a path may vanish and the namespace live on.
  if (attachment.kind === 'wire' && (await observeLinks([attachment.hostDevice])).size > 0)
    return false
  return !(await isSameNetns(attachment.netns))
}

async function drop(node: Node, attachment: Attachment): Promise<void> {
  node.log.warn(
    { attachment },
    'dropping an attachment that is unfinished or whose sandbox is gone',
  )
  await (attachment.kind === 'wire' ? unplug(node, attachment) : untap(node, attachment))
}

async function tryStep(
  node: Node,
  attachment: Attachment,
  step: (node: Node, attachment: Attachment) => Promise<void>,
): Promise<void> {
  try {
    await step(node, attachment)
  } catch (error) {
    node.log.error({ err: error, attachment }, 'cannot recover an attachment')
  }
}
