// How the model and reality are written down to be compared: one line per thing, sorted. Both sides
// use these words and nothing else of each other.
import { findWire, toKey, type Nic, type NodeState, type StoredWire, type World } from './world.ts'

export interface LinkFacts extends Nic {
  readonly pod: string
  readonly wire: string
  readonly isUp: boolean
  readonly target: string | undefined
  /** What a device of ours is not to have. */
  readonly oddities?: readonly string[]
}

export function sayLink(node: string, link: LinkFacts): string {
  const { wire, pod, ifname } = link
  const state = sayState(link)
  return `${node} link ${toKey(link)} (${wire} pod/${pod} ${ifname}): ${state}`
}

function sayState({
  isUp,
  target,
  oddities = [],
}: Omit<LinkFacts, keyof Nic | 'pod' | 'wire'>): string {
  return [`${isUp ? 'up' : 'down'}, to ${target ?? 'nowhere'}`, ...oddities].join(', ')
}

export interface TunnelFacts {
  readonly wire: string
  readonly remote: string
  /** Whether its VNI is the one that the store gives the wire. */
  readonly isVniOfWire: boolean
  readonly isUp: boolean
  readonly target: string | undefined
  /** What a device of ours is not to have. */
  readonly oddities?: readonly string[]
}

export function sayTunnel(node: string, tunnel: TunnelFacts): string {
  const vni = tunnel.isVniOfWire ? "with the wire's VNI" : 'with a VNI of its own'
  const state = sayState(tunnel)
  return `${node} tunnel ${tunnel.wire} to ${tunnel.remote} ${vni}: ${state}`
}

export function sayPeer(node: string, peer: string, wire: string): string {
  return `${node} lets in ${peer} for ${wire}`
}

export function sayDocument(node: string, nic: Nic, wire: string, phase: string): string {
  return `${node} document ${toKey(nic)} (${wire}): ${phase}`
}

export function sayNote(node: string, nic: Nic): string {
  return `${node} release note ${toKey(nic)}`
}

export function sayPodEnd(
  nic: Nic,
  state: 'down' | 'no carrier' | 'carrier',
  same: string,
): string {
  return `sandbox ${toKey(nic)}: ${state}, ${same}`
}

/** An interface that is as its owner got it: index, MAC and addresses. */
export const SAME = 'the same interface'

export function sayWire(
  wire: StoredWire & { readonly hasVni: boolean },
  displaced: readonly Nic[] = [],
): string {
  const ends = wire.ends.map(
    (end) => `pod/${end.pod} ${end.ifname} ${end.sandbox}@${end.node} ${end.isUp ? 'up' : 'down'}`,
  )
  const standbys = wire.standbys.map(
    (one) =>
      `pod/${one.pod} ${one.ifname} ${one.sandbox}@${one.node}${one.isTarget ? ' for its guest' : ''}`,
  )
  return [
    `store ${wire.name}: ${ends.sort().join(', ') || 'no ends'}`,
    ...(wire.isUnplugged ? ['unplugged'] : []),
    ...(standbys.length > 0 ? [`standing by ${standbys.sort().join(', ')}`] : []),
    // Nobody frees the end of a sandbox that is there.
    ...displaced.map((one) => `displaced ${toKey(one)}`),
    ...(wire.hasVni ? ['VNI'] : []),
    ...(wire.tunnelNodes.length > 0
      ? [`tunnels on ${[...wire.tunnelNodes].sort().join(', ')}`]
      : []),
  ].join('; ')
}

export function sayVnis(count: number): string {
  return `store: ${count} VNI claims`
}

/** What is to be seen of the model. */
export function draw(world: World): readonly string[] {
  const wires = world.wires.map((wire) => sayWire({ ...wire, hasVni: wire.tunnelNodes.length > 0 }))
  const vnis = world.wires.filter((wire) => wire.tunnelNodes.length > 0)
  const lines = [
    ...world.nodes.flatMap((node) => drawNode(world, node)),
    ...wires,
    sayVnis(vnis.length),
  ]
  return lines.sort()
}

function drawNode(world: World, node: NodeState): readonly string[] {
  return [
    ...node.links.map((link) => sayLink(node.name, link)),
    ...node.links.map((link) => {
      const carrier = link.isUp ? 'carrier' : 'no carrier'
      return sayPodEnd(link, link.isPodEndUp ? carrier : 'down', SAME)
    }),
    ...node.tunnels.map(({ wire, remote, target }) => {
      const isVniOfWire = (findWire(world, wire)?.tunnelNodes.length ?? 0) > 0
      return sayTunnel(node.name, { wire, remote, isVniOfWire, isUp: true, target })
    }),
    ...node.peers.map(({ wire, remote }) => sayPeer(node.name, remote, wire)),
    ...node.notes.map((note) => sayNote(node.name, note)),
    ...node.documents.map((one) => sayDocument(node.name, one, one.wire, one.phase)),
  ]
}
