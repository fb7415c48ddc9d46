// What a starting agent does about what it finds: ADDs that were cut off are taken back, sandboxes
// that are gone are forgotten, and the wires that are left are brought to where they should be.
import type { Attachment } from '../core/attachment.ts'
import { toWireKey } from '../core/wire.ts'
import { detach } from './detach.ts'
import { isGone } from './liveness.ts'
import type { Node } from './node.ts'
import { joinWire } from './wire-verbs.ts'

/** One attachment's trouble is logged and does not keep the others waiting. */
export async function recover(node: Node): Promise<void> {
  const attachments = await node.state.list((error) => {
    node.log.error({ err: error }, 'cannot read an attachment, it is left alone')
  })
  const wires = new Map<string, Attachment & { readonly kind: 'wire' }>()
  for (const attachment of attachments)
    await tryStep(node, attachment, async () => {
      if (attachment.phase === 'adding' || (await isGone(attachment))) {
        node.log.warn({ attachment }, 'dropping an attachment, unfinished or without its sandbox')
        await detach(node, attachment)
      } else if (attachment.kind === 'wire') wires.set(toWireKey(attachment.wire), attachment)
    })
  for (const attachment of wires.values())
    await tryStep(node, attachment, async () => joinWire(node, attachment.wire))
  node.log.info({ attachments: attachments.length, wires: wires.size }, 'recovered')
}

async function tryStep(
  node: Node,
  attachment: Attachment,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step()
  } catch (error) {
    node.log.error({ err: error, attachment }, 'cannot recover an attachment')
  }
}
