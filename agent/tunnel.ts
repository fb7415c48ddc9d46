// A wire's tunnel on this node, as the store has it: its VNI is claimed and the node noted in the wire
// before the device is made, and both are given back only when the device is gone. So no VNI is reused
// while a node that held it may still send with it.
import type { WireAttachment } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import type { ObservedLink } from '../core/observed.ts'
import { readVni, toTunnel, type Tunnel } from '../core/tunnel.ts'
import type { VniRange } from '../core/vni.ts'
import {
  closeTunnel,
  openTunnel,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { isLoopback } from '../kernel/underlay.ts'
import type { Node } from './node.ts'

/** What this end needs to reach the far one. Throws CniError 106 where one of the nodes has no underlay. */
export async function prepareTunnel(
  node: Node,
  end: WireAttachment,
  far: EndClaim,
): Promise<Tunnel> {
  const { underlay } = node
  if (underlay === undefined || isLoopback(far.address))
    throw new CniError(
      CNI_CODE.NO_UNDERLAY,
      `Cannot join wire "${toWireKey(end.wire)}": its ends are on nodes "${node.name}" (${underlay?.address ?? '127.0.0.1'}) and "${far.node}" (${far.address}), expected underlay addresses that reach each other`,
    )
  return toTunnel(end, far, await holdVni(node, underlay.vniRange, end), underlay)
}

async function holdVni(node: Node, range: VniRange, end: WireAttachment): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    const wire = await node.store.read(end.wire)
    if (wire?.vni !== undefined && wire.tunnelNodes.includes(node.name)) return wire.vni
    const claimed = wire?.vni ?? (await node.store.claimVni(end.wire, range, end.vni))
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
    return vni
  }
}

const TRIES = 5

/** Gives back what this node's tunnel held, once its device is gone; seen is that device, where there was one. */
export async function giveBackTunnel(
  node: Node,
  id: WireId,
  wire: Wire | undefined,
  seen: ObservedLink | undefined,
): Promise<void> {
  // A wire that was deleted under us took the note along that others go by.
  const orphaned = wire?.vni === undefined ? readVni(seen) : undefined
  if (orphaned !== undefined) await node.store.releaseVni(orphaned, id)
  if (!(wire?.tunnelNodes.includes(node.name) ?? false)) return
  let freed: number | undefined
  await node.store.update(id, (current) => {
    const closed = closeTunnel(current, node.name)
    freed = closed?.vni === undefined ? current?.vni : undefined
    return closed
  })
  if (freed !== undefined) await node.store.releaseVni(freed, id)
}
