// What a node's kernel has of ours that nothing stands behind: no document, no claim, no tunnel. It comes
// of documents that were lost or removed by hand; nothing of ours leaves any.
import { toHostDeviceName } from './name.ts'
import type { NodeObservation } from './node-observation.ts'
import type { Step } from './step.ts'
import { toPeerKey } from './tunnel.ts'
import { type Wire } from './wire.ts'
import type { Attachment } from './attachment.ts'

export interface StrayFacts {
  readonly seen: NodeObservation
  readonly attachments: readonly Attachment[]
  readonly wires: readonly Wire[]
  readonly node: string
}

export interface Strays {
  readonly hostEnds: readonly string[]
  /** "address vni". */
  readonly peers: readonly string[]
}

export const NO_STRAYS: Strays = { hostEnds: [], peers: [] }

export function findStrays({ seen, attachments, wires, node }: StrayFacts): Strays {
  const claims = wires.flatMap(({ ends, displaced }) => [...ends, ...displaced])
  const known = new Set([
    ...attachments.map(({ containerID, ifname }) => toHostDeviceName(containerID, ifname)),
    // A claim without a document: somebody's cable works, and only its paper is lost.
    ...claims
      .filter((claim) => claim.node === node)
      .map(({ containerID, ifname }) => toHostDeviceName(containerID, ifname)),
  ])
  const used = new Set(
    [...seen.links.values()].flatMap(({ vxlan }) =>
      vxlan === null ? [] : [toPeerKey(vxlan.remote, vxlan.vni)],
    ),
  )
  return {
    hostEnds: [...seen.links].flatMap(([name, { kind }]) =>
      kind === 'host-end' && !known.has(name) ? [name] : [],
    ),
    peers: [...seen.peers].filter((peer) => !used.has(peer)),
  }
}

/** Those of one look that were strays in the look before, too: what is being made is none for long. */
export function findOldStrays(now: Strays, before: Strays): Strays {
  return {
    hostEnds: now.hostEnds.filter((dev) => before.hostEnds.includes(dev)),
    peers: now.peers.filter((peer) => before.peers.includes(peer)),
  }
}

/** Passed over where it is gone already. */
export function planStrays({ hostEnds, peers }: Strays): readonly Step[] {
  return [
    ...hostEnds.map((dev): Step => ({ op: 'del-link', netns: undefined, dev })),
    ...peers.map((peer): Step => {
      const [address = '', vni = ''] = peer.split(' ')
      return { op: 'forbid-peer', netns: undefined, address, vni: Number(vni) }
    }),
  ]
}
