// What a whole cluster has too much of, and no node sees from its own wires: VNIs that no wire has, and
// what is held for nodes that are no more.
import type { VniClaim } from '../../core/wire/vni.ts'
import { findOrphanVnis, findUnclaimedVnis } from '../../core/wire/vni-orphans.ts'
import { forgetNode, listNodes, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import type { AgentContext } from '../context.ts'
import { keepVni } from './tunnel.ts'

export interface Swept {
  /** How many nodes there are to share the work. */
  readonly sharers: number
  /** VNIs that no wire has: to be given back if the next look says the same, whatever the clocks say. */
  readonly orphans: readonly VniClaim[]
}

export const NOT_SWEPT: Swept = { sharers: 1, orphans: [] }

/** Any agent may, at any time; the others need not wait. */
export async function sweep(node: AgentContext, before: Swept): Promise<Swept> {
  // Before the wires: a VNI that is claimed after this is none of ours.
  const vnis = await node.store.listVnis()
  const unreadable: unknown[] = []
  const wires = await (node.cluster ?? node.store).list((error) => unreadable.push(error))
  for (const err of unreadable) node.log.error({ err }, 'cannot read a wire, it is left alone')
  // One that could not be read may have any VNI.
  const orphans = unreadable.length === 0 ? findOrphanVnis(vnis, wires, Date.now()) : []
  const names = await node.cluster?.listNodes()
  // Where the agents go by other names than the nodes nothing can be said of others.
  const areKnown = names?.has(node.name) === true
  for (const { vni, wire, node: keeper } of orphans) {
    if (!before.orphans.some((one) => one.vni === vni)) continue
    // Another node that is there gives back what it keeps itself.
    const isTheirs = keeper !== undefined && keeper !== node.name
    if (isTheirs && !(areKnown && !names.has(keeper))) continue
    node.log.warn({ vni, wire: toWireKey(wire) }, 'a VNI that no wire has is given back')
    await node.store.releaseVni(vni, wire)
  }
  await claimUnclaimed(node, findUnclaimedVnis(vnis, wires))
  await keepUnkept(node, vnis, wires)
  if (!areKnown) return { sharers: 1, orphans }
  for (const wire of wires) await tryFor(node, wire, async () => forgetGoneNodes(node, wire, names))
  return { sharers: names.size, orphans }
}

// One wire's trouble keeps no other waiting.
async function tryFor(
  node: AgentContext,
  wire: Wire,
  action: () => Promise<unknown>,
): Promise<void> {
  try {
    await action()
  } catch (error) {
    node.log.error({ err: error, wire: toWireKey(wire) }, 'cannot sweep a wire')
  }
}

async function claimUnclaimed(node: AgentContext, wires: readonly Wire[]): Promise<void> {
  if (node.underlay === undefined) return
  for (const wire of wires) {
    node.log.warn({ vni: wire.vni, wire: toWireKey(wire) }, 'a VNI in use is claimed again')
    const { vniRange } = node.underlay
    await tryFor(node, wire, async () => {
      // A new one where that is another wire's is for those to take who use it, and know what was asked for.
      const isOurs = wire.vni !== undefined && wire.tunnelNodes.includes(node.name)
      const vni = isOurs
        ? await keepVni(node, vniRange, { namespace: wire.namespace, name: wire.name }, wire.vni)
        : await node.store.claimVni(wire, vniRange, wire.vni)
      const [keeper] = wire.tunnelNodes
      if (keeper !== undefined) await node.store.passVni(vni, wire, keeper)
    })
  }
}

/** Claims that 0.3.0 made are nobody's, and any agent could remove them. */
async function keepUnkept(
  node: AgentContext,
  claims: readonly VniClaim[],
  wires: readonly Wire[],
): Promise<void> {
  if (node.cluster === undefined) return
  for (const wire of wires) {
    const { vni, tunnelNodes } = wire
    const claim = claims.find((one) => one.vni === vni)
    if (vni === undefined || claim === undefined || claim.node !== undefined) continue
    if (tunnelNodes[0] === node.name)
      await tryFor(node, wire, async () => node.store.passVni(vni, wire, node.name))
  }
}

async function forgetGoneNodes(
  node: AgentContext,
  wire: Wire,
  names: ReadonlySet<string>,
): Promise<void> {
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
