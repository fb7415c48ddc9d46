// An attachment's way out, for DEL and for what a starting agent finds. Never fails on what is gone.
import type { Attachment } from '../core/attachment.ts'
import { DecodeError } from '../core/errors.ts'
import { toHostDeviceName } from '../core/name.ts'
import { toWireKey, type AttachmentId } from '../core/wire.ts'
import { applyRemoval } from '../kernel/apply.ts'
import type { Node } from './node.ts'
import { untap } from './tap-verbs.ts'
import { unplug } from './wire-verbs.ts'

/** Takes devices, claim and document of an attachment away. */
export async function detach(node: Node, attachment: Attachment): Promise<void> {
  if (attachment.kind === 'tap') {
    await untap(node, attachment)
    await node.state.del(attachment)
    return
  }
  await node.queue(toWireKey(attachment.wire), async () => {
    // So that no look at the wire makes again what is being taken away.
    await node.state.put({ ...attachment, phase: 'leaving' })
    await unplug(node, attachment)
    await node.state.del(attachment)
  })
}

/** The attachment, or undefined when there is none, or when its document cannot be read: that one goes. */
export async function readOrDrop(node: Node, id: AttachmentId): Promise<Attachment | undefined> {
  try {
    return await node.state.get(id)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    // CNI spec, "DEL": a pod must not stay because of our troubles. The host end's name follows from
    // the id alone; a claim nobody can name is released when its end is claimed anew.
    node.log.error({ err: error, ...id }, 'cannot read an attachment, its host end is removed')
    const dev = toHostDeviceName(id.containerID, id.ifname)
    await applyRemoval(node.run, node.classifier, [{ op: 'del-link', netns: undefined, dev }])
    await node.state.del(id)
    return undefined
  }
}
