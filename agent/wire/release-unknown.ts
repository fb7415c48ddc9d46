// The DEL of an end whose document is lost. Its host end follows from its name, and the store says which
// wire it is of: a claim keeps the cable of a living pod as it is until then.
import { toHostEndName } from '../../core/name.ts'
import { planDetach } from '../../core/wire/plan.ts'
import { holdsEnd, releaseEnd } from '../../core/wire/ends.ts'
import { toAttachmentKey, type AttachmentId, type Wire } from '../../core/wire/wire.ts'
import { applyRemoval } from '../../kernel/apply.ts'
import { observeLinks } from '../../kernel/observe/links.ts'
import { finishWithin } from '../finish-within.ts'
import type { AgentContext } from '../context.ts'
import { reconcileWire } from './reconcile.ts'

/** How long it waits for the store; the next look gives back a claim that nothing stands behind. */
const STORE_MS = 2_000

export async function releaseUnknown(node: AgentContext, id: AttachmentId): Promise<void> {
  const dev = toHostEndName(id.containerID, id.ifname)
  const link = (await observeLinks([dev])).get(dev)
  // Somebody else's device may be called so.
  if (link?.alias.startsWith('l2wire ') !== true) return
  const facts = { containerID: id.containerID, ifname: id.ifname, dev }
  node.log.warn(facts, 'the document of an end is lost, its host end goes')
  const failure = await finishWithin(giveBack(node, id, dev), STORE_MS)
  if (failure === undefined) return
  node.log.warn({ ...facts, err: failure.error }, 'its claim is given back later')
  await removeEnd(node, dev, [])
}

async function giveBack(node: AgentContext, id: AttachmentId, dev: string): Promise<void> {
  const wires = await node.store.list(() => undefined)
  const wire = wires.find(({ ends, standbys }) =>
    [...ends, ...standbys].some((claim) => toAttachmentKey(claim) === toAttachmentKey(id)),
  )
  if (wire === undefined) return removeEnd(node, dev, [])
  await node.turns.wire(wire, async () => {
    await removeEnd(node, dev, holdsEnd(wire, id) ? listOthers(node, wire, id) : [])
    await node.store.update(wire, (current) => releaseEnd(current, id))
    await reconcileWire(node, wire, 'uncached')
  })
}

// With their own documents lost, no look parts them from what goes.
function listOthers(node: AgentContext, { ends }: Wire, id: AttachmentId): readonly string[] {
  return ends
    .filter((end) => end.node === node.name && toAttachmentKey(end) !== toAttachmentKey(id))
    .map(({ containerID, ifname }) => toHostEndName(containerID, ifname))
}

async function removeEnd(
  node: AgentContext,
  dev: string,
  others: readonly string[],
): Promise<void> {
  const there = await observeLinks(others)
  await applyRemoval(node.run, node.classifier, [
    ...planDetach([...there.keys()]),
    { op: 'del-link', netns: undefined, dev },
  ])
}
