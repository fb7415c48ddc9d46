// The part of a wire that crosses nodes: a VXLAN device with a VNI of its own and one remote, let in by
// the node only from there.
import type { WireAttachment } from '../attach/attachment.ts'
import { toTunnelDeviceName } from '../name.ts'
import type { ObservedLinks } from '../observe/links.ts'
import type { ObservedTable } from '../observe/node.ts'
import { toPeerKey } from '../observe/observation.ts'
import type { PeerStep, Step } from '../steps/step.ts'
import { toWireKey, type EndClaim } from './wire.ts'

export interface Tunnel {
  readonly device: string
  readonly wireKey: string
  readonly vni: number
  readonly local: string
  readonly remote: string
  /** Who may send to it beside the remote. */
  readonly others: readonly string[]
  /** UDP port at both ends. */
  readonly port: number
  readonly mtuBytes: number
}

/** Bytes of outer headers: 14 inner Ethernet, 8 VXLAN, 8 UDP, and 20 of IPv4 or 40 of IPv6. */
export function getOverheadBytes(address: string): number {
  return address.includes(':') ? 70 : 50
}

/** A node's own end of all its tunnels. */
export interface TunnelEnd {
  readonly address: string
  /** UDP port of all nodes' tunnels. */
  readonly port: number
}

/** What a node's claims say of where it is to be reached. */
export function toClaimAddress(underlay: TunnelEnd | undefined): string {
  return underlay?.address ?? '127.0.0.1'
}

/** Whom a tunnel leads to, and who else may send to it. */
export interface Far {
  readonly end: EndClaim
  readonly others: readonly EndClaim[]
}

export function toTunnel(
  { wire, maxFrameBytes }: WireAttachment,
  far: Far,
  vni: number,
  { address, port }: TunnelEnd,
): Tunnel {
  const wireKey = toWireKey(wire)
  return {
    device: toTunnelDeviceName(wireKey),
    wireKey,
    vni,
    local: address,
    remote: far.end.address,
    others: far.others.map((other) => other.address),
    port,
    mtuBytes: maxFrameBytes,
  }
}

// The kernel takes less than 256 bytes (IFALIASZ).
const ALIAS_MOST_BYTES = 255

/** The device's purpose in words, for `ip link` readers. "#" would begin a comment of `ip -batch`. */
function toAlias({ wireKey, vni, port, local, remote }: Tunnel): string {
  const words = `l2wire ${wireKey} vni ${vni} port ${port} local ${local} remote ${remote}`
  return words.slice(0, ALIAS_MOST_BYTES)
}

/**
 * The device, down: redirects come first. Its peer is let in once it is there: the kernel has one device for a VNI, so
 * what fails to be made has let nobody in at another wire's.
 */
export function wantTunnel(tunnel: Tunnel): readonly Step[] {
  const { device: dev, vni, remote, others, local, port, mtuBytes } = tunnel
  return [
    { op: 'add-vxlan', netns: undefined, dev, vni, local, remote, port },
    { op: 'set-link', netns: undefined, dev, mtuBytes, isSilent: true, alias: toAlias(tunnel) },
    ...[remote, ...others].map((address): Step => ({
      op: 'allow-peer',
      netns: undefined,
      address,
      vni,
    })),
  ]
}

/** Whom these steps let in. */
export function listLetIn(steps: readonly Step[]): readonly PeerStep[] {
  return steps.flatMap((step) => (step.op === 'allow-peer' ? [step] : []))
}

/** Whom a table lets in at a tunnel. */
export function toPeers({ peers }: Pick<ObservedTable, 'peers'>, vni: number): readonly PeerStep[] {
  return [...peers].flatMap((peer): readonly PeerStep[] => {
    const [address = '', of] = peer.split(' ')
    return Number(of) === vni ? [{ op: 'allow-peer', netns: undefined, address, vni }] : []
  })
}

/** Of those who were let in beside a tunnel's remote, who no longer is: with that one goes its permission. */
export function listShutOut(
  before: readonly PeerStep[],
  wanted: readonly Step[],
  remote: string | undefined,
): readonly PeerStep[] {
  const still = new Set(listLetIn(wanted).map(({ address, vni }) => toPeerKey(address, vni)))
  return before
    .filter(({ address, vni }) => address !== remote && !still.has(toPeerKey(address, vni)))
    .map((peer) => ({ ...peer, op: 'forbid-peer' }))
}

/** The permissions that these tunnels need, by their keys. */
export function listPeers(tunnels: ObservedLinks): ReadonlyMap<string, PeerStep> {
  return new Map(
    [...tunnels.values()].flatMap(({ vxlan }) => {
      if (!vxlan || vxlan.remote === '') return []
      const { remote: address, vni } = vxlan
      return [[toPeerKey(address, vni), { op: 'allow-peer', netns: undefined, address, vni }]]
    }),
  )
}

/** And those that wires want beside: each at the tunnel that is there, since the VNI of another is another wire's. */
export function listPeersBeside(
  tunnels: ObservedLinks,
  wanted: ReadonlyMap<string, readonly Step[]>,
): ReadonlyMap<string, PeerStep> {
  const peers = [...wanted].flatMap(([wireKey, steps]) => {
    const vni = tunnels.get(toTunnelDeviceName(wireKey))?.vxlan?.vni
    return listLetIn(steps).filter((peer) => peer.vni === vni)
  })
  return new Map(peers.map((peer) => [toPeerKey(peer.address, peer.vni), peer]))
}
