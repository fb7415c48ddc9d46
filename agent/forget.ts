// Sandboxes that went without a word: whatever they held is given back.
import type { WireAttachment } from '../core/attachment.ts'
import { isMacvtap } from '../core/plan-macvtap.ts'
import { releaseEnd, toAttachmentKey, toWireKey, type WireId } from '../core/wire.ts'
import { forgetGuest } from './guest-carrier.ts'
import { isGone } from './liveness.ts'
import { hideDevice } from './macvtap.ts'
import type { Node } from './node.ts'

/** Runs under the wire's queue. */
export async function forgetGone(node: Node, id: WireId): Promise<void> {
  for (const end of node.state.listOf(id)) {
    // One that is being added, or has been deleted, is its verb's to settle.
    const isSettled = end.phase === 'ready' || end.phase === 'released'
    if (isSettled && (await isGone(end))) await forget(node, end)
  }
}

async function forget(node: Node, end: WireAttachment): Promise<void> {
  const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
  node.log.warn(facts, 'an end is gone with its sandbox, it is given up')
  await node.store.update(end.wire, (wire) => releaseEnd(wire, end))
  node.owners.delete(end.hostDevice)
  node.wantedUp.delete(end.hostDevice)
  node.leads.forget(end.hostDevice)
  forgetGuest(node, end)
  await node.state.del(end)
  // Its taps went with the same namespace, and macvtaps leave a file on the node.
  for (const tap of node.state.listAll()) {
    if (tap.kind !== 'tap' || tap.containerID !== end.containerID) continue
    if (isMacvtap(tap)) await hideDevice(node, tap)
    await node.state.del(tap)
  }
}
