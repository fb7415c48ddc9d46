// Sandboxes that went without a word: whatever they held is given back. A veth dies with its namespace,
// while a path may vanish, or lead to another namespace, with the sandbox living on.
import type { WireAttachment } from '../core/attachment.ts'
import { releaseEnd, toAttachmentKey, toWireKey, type WireId } from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { forgetGuest } from './guest-carrier.ts'
import type { Node } from './node.ts'

/** Tells whether anything was given up. Runs under the wire's queue. */
export async function forgetGone(node: Node, id: WireId): Promise<boolean> {
  // One that is being added, or has been deleted, is its verb's to settle.
  const settled = node.state
    .listOf(id)
    .filter(({ phase }) => phase === 'ready' || phase === 'released')
  const there = await observeLinks(settled.map(({ hostDevice }) => hostDevice))
  let isAny = false
  for (const end of settled)
    if (!there.has(end.hostDevice) && !(await isSameNetns(end.netns))) {
      await forget(node, end)
      isAny = true
    }
  return isAny
}

async function forget(node: Node, end: WireAttachment): Promise<void> {
  const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
  node.log.warn(facts, 'an end is gone with its sandbox, it is given up')
  await node.store.update(end.wire, (wire) => releaseEnd(wire, end))
  node.owners.delete(end.hostDevice)
  node.wantedUp.delete(end.hostDevice)
  forgetGuest(node, end)
  await node.state.del(end)
  // Its taps went with the same namespace.
  for (const tap of node.state.listAll())
    if (tap.kind === 'tap' && tap.containerID === end.containerID) await node.state.del(tap)
}
