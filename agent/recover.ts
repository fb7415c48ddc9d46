// What a starting agent does about what it finds: ADDs that were cut off are taken back, sandboxes
// that are gone are forgotten, and the wires that are left are brought to where they should be.
import type { Attachment } from '../core/attachment.ts'
import { toWireKey, type WireId } from '../core/wire.ts'
import { detach } from './detach.ts'
import { isGone } from './liveness.ts'
import type { Node } from './node.ts'
import { joinWire } from './wire-verbs.ts'

/** One attachment's trouble is logged and does not keep the others waiting. */
export async function recover(node: Node): Promise<void> {
  const attachments = await node.state.list((error) => {
    node.log.error({ err: error }, 'cannot read an attachment, it is left alone')
  })
  const wires = new Map<string, WireId>()
  for (const attachment of attachments)
    await tryStep(node, attachment, async () => {
      if (attachment.phase === 'adding' || (await isGone(attachment))) {
        node.log.warn({ attachment }, 'dropping an attachment, unfinished or without its sandbox')
        await detach(node, attachment)
      } else if (attachment.kind === 'wire') wires.set(toWireKey(attachment.wire), attachment.wire)
    })
  // Tunnels whose attachments are gone, or were while nobody was here to close them.
  const stored = await node.store.list((error) => {
    node.log.error({ err: error }, 'cannot read a wire, it is left alone')
  })
  for (const wire of stored)
    if (wire.tunnelNodes.includes(node.name)) wires.set(toWireKey(wire), wire)
  for (const wire of wires.values()) await tryStep(node, wire, async () => joinWire(node, wire))
  node.log.info({ attachments: attachments.length, wires: wires.size }, 'recovered')
}

async function tryStep(
  node: Node,
  what: Attachment | WireId,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step()
  } catch (error) {
    node.log.error({ err: error, what }, 'cannot recover an attachment or a wire')
  }
}
