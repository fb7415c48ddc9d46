// A wire's tunnel on this node: its VNI is claimed and the node noted in the wire before the device is
// made, and both are given back only when the device is gone. So no VNI is reused while a node that
// held it may still send with it.
import type { WireAttachment } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toTunnelDeviceName } from '../core/name.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { planDetach } from '../core/plan.ts'
import { planUntunnel, type Tunnel } from '../core/tunnel.ts'
import type { VniRange } from '../core/vni.ts'
import {
  closeTunnel,
  openTunnel,
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { applyRemoval } from '../kernel/apply.ts'
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
  const vni = await holdVni(node, underlay.vniRange, end)
  return {
    device: toTunnelDeviceName(toWireKey(end.wire)),
    wireKey: toWireKey(end.wire),
    vni,
    local: underlay.address,
    remote: far.address,
    port: underlay.port,
    mtuBytes: end.maxFrameBytes,
  }
}

async function holdVni(node: Node, range: VniRange, end: WireAttachment): Promise<number> {
  const wire = await node.store.read(end.wire)
  if (wire?.vni !== undefined && wire.tunnelNodes.includes(node.name)) return wire.vni
  const claimed = wire?.vni ?? (await node.store.claimVni(end.wire, range, end.vni))
  const opened = await node.store.update(end.wire, (current) =>
    openTunnel(current, node.name, claimed),
  )
  const vni = opened?.vni ?? claimed
  // The other node was quicker: its VNI is the wire's.
  if (wire?.vni === undefined && vni !== claimed) await node.store.releaseVni(claimed, end.wire)
  return vni
}

/** Takes the tunnel away where there is one, and gives back what it held. */
export async function dropTunnel(
  node: Node,
  id: WireId,
  wire: Wire | undefined,
  observed: ObservedLinks,
): Promise<void> {
  const device = toTunnelDeviceName(toWireKey(id))
  const link = observed.get(device)
  if (link !== undefined) {
    const steps = [
      ...planDetach(await listAbandoned(node, id, wire)),
      ...planUntunnel(device, link),
    ]
    await applyRemoval(node.run, node.classifier, steps)
  }
  if (!(wire?.tunnelNodes.includes(node.name) ?? false)) return
  let freed: number | undefined
  await node.store.update(id, (current) => {
    const closed = closeTunnel(current, node.name)
    freed = closed?.vni === undefined ? current?.vni : undefined
    return closed
  })
  if (freed !== undefined) await node.store.releaseVni(freed, id)
}

// Host ends that led into the tunnel: this node's end whose far end went, or an end that moved to
// another node while its old sandbox lives on here.
async function listAbandoned(
  node: Node,
  id: WireId,
  wire: Wire | undefined,
): Promise<readonly string[]> {
  const attachments = await node.state.list(() => undefined)
  const isHeld = new Set((wire?.ends ?? []).map(toAttachmentKey))
  const isJoinedHere = (wire?.ends ?? []).filter((end) => end.node === node.name).length > 1
  return attachments.flatMap((attachment) => {
    if (attachment.kind !== 'wire' || toWireKey(attachment.wire) !== toWireKey(id)) return []
    return isJoinedHere && isHeld.has(toAttachmentKey(attachment)) ? [] : [attachment.hostDevice]
  })
}
