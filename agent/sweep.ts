// What a whole cluster has too much of, and no node sees from its own wires: VNIs that no wire has, and
// what is held for nodes that are no more.
import { findStrayVnis, findUnclaimedVnis, type VniClaim } from '../core/vni-claim.ts'
import { forgetNode, listNodes, toWireKey, type Wire, type WireId } from '../core/wire.ts'
import type { Node } from './node.ts'

export interface Swept {
  /** How many nodes there are to share the work. */
  readonly sharers: number
  /** VNIs that no wire has: to be given back if the next look says the same, whatever the clocks say. */
  readonly strays: readonly VniClaim[]
}

export const NOT_SWEPT: Swept = { sharers: 1, strays: [] }

/** Any agent may, at any time; the others need not wait. */
export async function sweep(node: Node, before: Swept): Promise<Swept> {
  // Before the wires: a VNI that is claimed after this is none of ours.
  const vnis = await node.store.listVnis()
  const unreadable: unknown[] = []
  const wires = await (node.cluster ?? node.store).list((error) => unreadable.push(error))
  for (const err of unreadable) node.log.error({ err }, 'cannot read a wire, it is left alone')
  // One that could not be read may have any VNI.
  const strays = unreadable.length === 0 ? findStrayVnis(vnis, wires, Date.now()) : []
  for (const { vni, wire } of strays) {
    if (!before.strays.some((one) => one.vni === vni)) continue
    node.log.warn({ vni, wire: toWireKey(wire) }, 'a VNI that no wire has is given back')
    await node.store.releaseVni(vni, wire)
  }
  await claimUnclaimed(node, findUnclaimedVnis(vnis, wires))
  const names = await node.cluster?.listNodes()
  // Where the agents go by other names than the nodes nothing can be said.
  if (names?.has(node.name) !== true) return { sharers: 1, strays }
  for (const wire of wires) await tryFor(node, wire, async () => forgetGoneNodes(node, wire, names))
  return { sharers: names.size, strays }
}

// One wire's trouble keeps no other waiting.
async function tryFor(node: Node, wire: Wire, action: () => Promise<unknown>): Promise<void> {
  try {
    await action()
  } catch (error) {
    node.log.error({ err: error, wire: toWireKey(wire) }, 'cannot sweep a wire')
  }
}

async function claimUnclaimed(node: Node, wires: readonly Wire[]): Promise<void> {
  if (node.underlay === undefined) return
  for (const wire of wires) {
    node.log.warn({ vni: wire.vni, wire: toWireKey(wire) }, 'a VNI in use is claimed again')
    const { vniRange } = node.underlay
    await tryFor(node, wire, async () => node.store.claimVni(wire, vniRange, wire.vni))
  }
}

async function forgetGoneNodes(node: Node, wire: Wire, names: ReadonlySet<string>): Promise<void> {
  const id: WireId = { namespace: wire.namespace, name: wire.name }
  for (const gone of listNodes(wire).filter((name) => !names.has(name))) {
    const facts = { gone, wire: toWireKey(id) }
    node.log.warn(facts, 'what a wire held for a node that is no more is freed')
    let freed: number | undefined
    await node.store.update(id, (current) => {
      const left = forgetNode(current, gone)
      freed = left?.vni === undefined ? current?.vni : undefined
      return left
    })
    if (freed !== undefined) await node.store.releaseVni(freed, id)
  }
}
