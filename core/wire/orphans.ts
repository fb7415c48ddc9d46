// What a node's kernel has of ours that nothing stands behind: no document, no claim, no tunnel. It comes
// of documents that were lost or removed by hand; nothing of ours leaves any.
import { toHostEndName, toTunnelDeviceName } from '../name.ts'
import { getOurKind, type NodeObservation } from '../observe/node.ts'
import { toPeerKey } from '../observe/observation.ts'
import type { Step } from '../steps/step.ts'
import { toWireKey, type Wire, type WireId } from './wire.ts'
import type { Attachment } from '../attach/attachment.ts'

export interface OrphanFacts {
  readonly seen: NodeObservation
  readonly attachments: readonly Attachment[]
  readonly wires: readonly Wire[]
  /** Wires that VNIs are claimed for, as far as somebody asked. */
  readonly claimed: readonly WireId[]
  readonly node: string
}

export interface Orphans {
  readonly hostEnds: readonly string[]
  readonly tunnels: readonly string[]
  /** "address vni". */
  readonly peers: readonly string[]
}

export const NO_ORPHANS: Orphans = { hostEnds: [], tunnels: [], peers: [] }

export function findOrphans({ seen, attachments, wires, claimed, node }: OrphanFacts): Orphans {
  const claims = wires.flatMap(({ ends, standbys, displaced }) => [
    ...ends,
    ...standbys,
    ...displaced,
  ])
  const known = new Set([
    ...attachments.map(({ containerID, ifname }) => toHostEndName(containerID, ifname)),
    // A claim without a document: somebody's cable works, and only its paper is lost.
    ...claims
      .filter((claim) => claim.node === node)
      .map(({ containerID, ifname }) => toHostEndName(containerID, ifname)),
  ])
  const used = new Set([
    ...[...seen.links.values()].flatMap(({ vxlan }) =>
      vxlan ? [toPeerKey(vxlan.remote, vxlan.vni)] : [],
    ),
    // Let in beside the tunnel's remote, for a migration.
    ...wires.flatMap(({ standbys, vni }) =>
      vni === undefined ? [] : standbys.map(({ address }) => toPeerKey(address, vni)),
    ),
  ])
  return {
    hostEnds: [...seen.links].flatMap(([name, link]) =>
      getOurKind(link) === 'host-end' && !known.has(name) ? [name] : [],
    ),
    tunnels: listUnknownTunnels(seen, [
      ...attachments.flatMap((one) => (one.kind === 'wire' ? [one.wire] : [])),
      ...wires,
      ...claimed,
    ]),
    peers: [...seen.peers].filter((peer) => !used.has(peer)),
  }
}

/** Tunnels that were made for none of these wires, by their names: an alias may have no room for a wire's. */
export function listUnknownTunnels(
  { links }: NodeObservation,
  wires: Iterable<WireId>,
): readonly string[] {
  const known = new Set(Array.from(wires, (wire) => toTunnelDeviceName(toWireKey(wire))))
  return [...links].flatMap(([name, link]) =>
    getOurKind(link) === 'tunnel' && !known.has(name) ? [name] : [],
  )
}

/** Those of one look that were orphans in the look before, too: what is being made is none for long. */
export function findOldOrphans(now: Orphans, before: Orphans): Orphans {
  return {
    hostEnds: now.hostEnds.filter((dev) => before.hostEnds.includes(dev)),
    tunnels: now.tunnels.filter((dev) => before.tunnels.includes(dev)),
    peers: now.peers.filter((peer) => before.peers.includes(peer)),
  }
}

/** Passed over where it is gone already. */
export function planOrphans({ hostEnds, tunnels, peers }: Orphans): readonly Step[] {
  return [
    ...[...hostEnds, ...tunnels].map((dev): Step => ({ op: 'del-link', netns: undefined, dev })),
    ...peers.map((peer): Step => {
      const [address = '', vni = ''] = peer.split(' ')
      return { op: 'forbid-peer', netns: undefined, address, vni: Number(vni) }
    }),
  ]
}
