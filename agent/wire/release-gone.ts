// Sandboxes that went without a word: whatever they held is given back.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { isMacvtap } from '../../core/attach/macvtap-steps.ts'
import { releaseEnd } from '../../core/wire/ends.ts'
import { toAttachmentKey, toWireKey, type WireId } from '../../core/wire/wire.ts'
import { forgetGuest } from '../guest/carrier.ts'
import { isGone } from '../liveness.ts'
import { hideDevice } from '../attach/macvtap.ts'
import type { AgentContext } from '../context.ts'

/** Runs under the wire's queue. */
export async function forgetGone(node: AgentContext, id: WireId): Promise<void> {
  for (const end of await listGone(node, id)) await forget(node, end)
}

/** The ends whose sandboxes are gone. One that is being added, or has been deleted, is its verb's to settle. */
export async function listGone(node: AgentContext, id: WireId): Promise<readonly WireAttachment[]> {
  const gone: WireAttachment[] = []
  for (const end of node.state.listOf(id)) {
    const isSettled = end.phase === 'ready' || end.phase === 'released'
    if (isSettled && (await isGone(end))) gone.push(end)
  }
  return gone
}

async function forget(node: AgentContext, end: WireAttachment): Promise<void> {
  const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
  node.log.warn(facts, 'an end is gone with its sandbox, it is given up')
  await node.store.update(end.wire, (wire) => releaseEnd(wire, end))
  node.podEndStates.delete(end.hostDevice)
  node.linkCache.forget(end.hostDevice)
  forgetGuest(node, end)
  await node.state.del(end)
  // Its taps went with the same namespace, and macvtaps leave a file on the node.
  for (const tap of node.state.listAll()) {
    if (tap.kind !== 'tap' || tap.containerID !== end.containerID) continue
    if (isMacvtap(tap)) await hideDevice(node, tap)
    await node.state.del(tap)
  }
}
