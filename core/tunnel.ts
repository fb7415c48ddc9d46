// The part of a wire that crosses nodes: a VXLAN device with a VNI of its own and one remote, let in by
// the node only from there. What a device was made for stands in its alias, so that a change shows.
import type { WireAttachment } from './attachment.ts'
import { toTunnelDeviceName } from './name.ts'
import type { ObservedLink } from './observed.ts'
import type { Step } from './step.ts'
import { toWireKey, type EndClaim, type WireId } from './wire.ts'

export interface Tunnel {
  readonly device: string
  readonly wireKey: string
  readonly vni: number
  readonly local: string
  readonly remote: string
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

export function toTunnel(
  { wire, maxFrameBytes }: WireAttachment,
  far: EndClaim,
  vni: number,
  { address, port }: TunnelEnd,
): Tunnel {
  const wireKey = toWireKey(wire)
  return {
    device: toTunnelDeviceName(wireKey),
    wireKey,
    vni,
    local: address,
    remote: far.address,
    port,
    mtuBytes: maxFrameBytes,
  }
}

// VNI, address family and port of a device cannot be changed in place; its remote can.
function toIdentity({ wireKey, vni, local, port }: Tunnel): string {
  return `l2wire ${wireKey} vni ${vni} port ${port} local ${local} remote `
}

/** Makes the device, or points it to where the far end is now. It is left down: redirects come first. */
export function planTunnel(
  tunnel: Tunnel,
  observed: ObservedLink | undefined,
  peers?: ReadonlySet<string>,
): readonly Step[] {
  const { device: dev, vni, remote, local, port, mtuBytes } = tunnel
  const alias = `${toIdentity(tunnel)}${remote}`
  const allow: Step = { op: 'allow-peer', netns: undefined, address: remote, vni }
  // The permission is there with the device, unless somebody looked and found it gone.
  if (observed?.alias === alias)
    return peers === undefined || peers.has(toPeerKey(remote, vni)) ? [] : [allow]
  const isSame = observed?.alias.startsWith(toIdentity(tunnel)) ?? false
  const isFamilyKept = isSame && getOverheadBytes(readRemote(observed)) === getOverheadBytes(remote)
  if (isFamilyKept)
    return [
      allow,
      { op: 'set-remote', netns: undefined, dev, vni, remote },
      { op: 'set-link', netns: undefined, dev, alias },
      ...forbidOld(observed),
    ]
  return [
    ...(observed === undefined ? [] : planUntunnel(dev, observed)),
    allow,
    { op: 'add-vxlan', netns: undefined, dev, vni, local, remote, port, mtuBytes },
    { op: 'set-link', netns: undefined, dev, isSilent: true, alias },
  ]
}

/** A permission as a word: who may send with which VNI. */
export function toPeerKey(address: string, vni: number): string {
  return `${address} ${vni}`
}

/** The VNI that a tunnel's device was made with, from its alias; undefined for another device. */
export function readVni(observed: ObservedLink | undefined): number | undefined {
  const vni = Number(/ vni (\d+) /.exec(observed?.alias ?? '')?.[1])
  return Number.isInteger(vni) ? vni : undefined
}

/** The wire that a tunnel's device was made for, from its alias. */
export function readTunnelWire(alias: string): WireId | undefined {
  const [, namespace, name] = /^l2wire ([^/ ]+)\/(\S+) vni \d+ /.exec(alias) ?? []
  return namespace === undefined || name === undefined ? undefined : { namespace, name }
}

/** Takes the device away, and with it the permission of its remote. */
export function planUntunnel(dev: string, observed: ObservedLink): readonly Step[] {
  return [{ op: 'del-link', netns: undefined, dev }, ...forbidOld(observed)]
}

function forbidOld(observed: ObservedLink | undefined): readonly Step[] {
  const vni = readVni(observed)
  const address = readRemote(observed)
  if (address === '' || vni === undefined) return []
  return [{ op: 'forbid-peer', netns: undefined, address, vni }]
}

function readRemote(observed: ObservedLink | undefined): string {
  return / remote (\S+)$/.exec(observed?.alias ?? '')?.[1] ?? ''
}
