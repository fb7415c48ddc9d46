// A wire's tunnel on this node, as the store has it: its VNI is claimed and the node noted in the wire
// before the device is made, and both are given back only when the device is gone. So no VNI is reused
// while a node that held it may still send with it.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import { toTunnel, type Far, type Tunnel } from '../../core/wire/tunnel.ts'
import type { VniRange } from '../../core/wire/vni.ts'
import {
  changeVni,
  closeTunnel,
  openTunnel,
  toWireKey,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import { observeTunnels } from '../../kernel/observe/links.ts'
import { isLoopback } from '../../kernel/underlay.ts'
import type { AgentContext } from '../context.ts'

/**
 * What this end needs to reach the far one. running is the VNI that the wire's frames go by here, whatever the store
 * says. Throws CniError 106 where one of the nodes has no underlay.
 */
export async function prepareTunnel(
  node: AgentContext,
  end: WireAttachment,
  { end: to, others }: Far,
  running: number | undefined,
): Promise<Tunnel> {
  const { underlay } = node
  if (underlay === undefined || isLoopback(to.address))
    throw new CniError(
      CNI_CODE.NO_UNDERLAY,
      `Cannot join wire "${toWireKey(end.wire)}": its ends are on nodes "${node.name}" (${underlay?.address ?? '127.0.0.1'}) and "${to.node}" (${to.address}), expected underlay addresses that reach each other`,
    )
  const vni = await holdVni(node, underlay.vniRange, end, running)
  return toTunnel(end, { end: to, others }, vni, underlay)
}

async function holdVni(
  node: AgentContext,
  range: VniRange,
  end: WireAttachment,
  running: number | undefined,
): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const wire = await node.store.read(end.wire)
    if (wire?.vni !== undefined && wire.tunnelNodes.includes(node.name))
      // The kernel has one device for a VNI: while ours runs no other wire's frames are here.
      return wire.vni === running ? running : checkVni(node, range, end.wire, wire.vni)
    const claimed = wire?.vni ?? (await claimVni(node, range, end.wire, end.vni, running))
    // Given back by its last node meanwhile, a VNI that we have only read of may be another wire's by now.
    const isOver = (current: Wire | undefined): boolean =>
      wire?.vni !== undefined && current?.vni === undefined
    const opened = await node.store.update(end.wire, (current) =>
      isOver(current) ? current : openTunnel(current, node.name, claimed),
    )
    if (isOver(opened) && tries < TRIES) continue
    const vni = opened?.vni ?? claimed
    // The other node was quicker: its VNI is the wire's.
    if (wire?.vni === undefined && vni !== claimed) await node.store.releaseVni(claimed, end.wire)
    // A number that was the wire's before may have been given back before it was noted here, by a node that saw
    // nobody use it. One that we have drawn nobody knows.
    const isDrawn = wire?.vni === undefined && vni === claimed
    const isKnown = vni === end.vni || vni === running
    return isDrawn && !isKnown ? vni : checkVni(node, range, end.wire, vni)
  }
}

const TRIES = 5

// Any node of a wire may write which VNI it has, and may be wrong, or taken over by somebody: the claim says whose
// it is.
async function checkVni(
  node: AgentContext,
  range: VniRange,
  id: WireId,
  vni: number,
): Promise<number> {
  return (await node.store.hasVni(vni, id)) ? vni : keepVni(node, range, id, vni)
}

async function readRunning({ run }: AgentContext, id: WireId): Promise<number | undefined> {
  const tunnel = toTunnelDeviceName(toWireKey(id))
  return (await observeTunnels(run, [tunnel])).get(tunnel)?.vxlan?.vni
}

// A wire that was deleted under its tunnel comes back with the VNI that frames go by, unless that is another's.
async function claimVni(
  node: AgentContext,
  range: VniRange,
  wire: WireId,
  asked: number | undefined,
  running: number | undefined,
): Promise<number> {
  try {
    return await node.store.claimVni(wire, range, asked ?? running)
  } catch (error) {
    if (!isTaken(error) || asked !== undefined) throw error
    return node.store.claimVni(wire, range, undefined)
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof CniError && error.code === CNI_CODE.VNI_TAKEN
}

/**
 * Claims a VNI that the wire has noted again, and returns the one that it has then: where another wire has
 * claimed it the one that frames go by here, or a new one, which each node with a tunnel takes once it reads of it.
 * Throws CniError 108 where the network's configuration asks for that very one.
 */
export async function keepVni(
  node: AgentContext,
  range: VniRange,
  id: WireId,
  vni: number,
): Promise<number> {
  for (let noted = vni, tries = 1; ; tries += 1) {
    let refusal: unknown
    try {
      return await node.store.claimVni(id, range, noted)
    } catch (error) {
      const isAsked = node.state.listOf(id).some((end) => end.vni === noted)
      if (!isTaken(error) || isAsked || tries === TRIES) throw error
      refusal = error
    }
    const read = await readRunning(node, id)
    const running = read === noted ? undefined : read
    const own = await claimVni(node, range, id, undefined, running)
    const facts = { vni: noted, own, wire: toWireKey(id) }
    node.log.warn(facts, "the VNI of a wire is another wire's, it gets one of its own")
    const from = noted
    const wire = await node.store.update(id, (current) => changeVni(current, from, own))
    if (wire?.vni === own) return own
    // The other node was quicker. What our device still sends with is given back by a sweep.
    if (own !== running) await node.store.releaseVni(own, id)
    if (wire?.vni === undefined) throw refusal
    noted = wire.vni
  }
}

/** Gives back what this node's tunnel held, once its device is gone; running is the VNI that it had, where there was one. */
export async function giveBackTunnel(
  node: AgentContext,
  id: WireId,
  wire: Wire | undefined,
  running: number | undefined,
): Promise<void> {
  // A wire that was deleted under us took the note along that others go by.
  const orphaned = wire?.vni === undefined ? running : undefined
  if (orphaned !== undefined) {
    await node.store.releaseVni(orphaned, id)
    // Noted meanwhile, by a node that found the claim still there.
    const now = await node.store.read(id)
    if (now?.vni === orphaned && node.underlay !== undefined) {
      const kept = await keepVni(node, node.underlay.vniRange, id, orphaned)
      const [keeper] = now.tunnelNodes
      if (keeper !== undefined) await node.store.passVni(kept, id, keeper)
    }
  }
  if (!(wire?.tunnelNodes.includes(node.name) ?? false)) return
  let freed: number | undefined
  const left = await node.store.update(id, (current) => {
    const closed = closeTunnel(current, node.name)
    freed = closed?.vni === undefined ? current?.vni : undefined
    return closed
  })
  if (freed !== undefined) await node.store.releaseVni(freed, id)
  const [heir] = left?.tunnelNodes ?? []
  if (left?.vni !== undefined && heir !== undefined) await node.store.passVni(left.vni, id, heir)
}
