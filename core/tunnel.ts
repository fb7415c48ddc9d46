// The part of a wire that crosses nodes: a VXLAN device with a VNI of its own and one remote, let in by
// the node only from there. What a device was made for stands in its alias, so that a change shows.
import type { ObservedLink } from './observed.ts'
import type { Step } from './step.ts'

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

// VNI, address family and port of a device cannot be changed in place; its remote can.
function toIdentity({ wireKey, vni, local, port }: Tunnel): string {
  return `l2wire ${wireKey} vni ${vni} port ${port} local ${local} remote `
}

/** Makes the device, or points it to where the far end is now. It is left down: redirects come first. */
export function planTunnel(tunnel: Tunnel, observed: ObservedLink | undefined): readonly Step[] {
  const { device: dev, vni, remote, local, port, mtuBytes } = tunnel
  const alias = `${toIdentity(tunnel)}${remote}`
  const allow: Step = { op: 'allow-peer', netns: undefined, address: remote, vni }
  if (observed?.alias === alias) return [allow]
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

/** Takes the device away, and with it the permission of its remote. */
export function planUntunnel(dev: string, observed: ObservedLink): readonly Step[] {
  return [{ op: 'del-link', netns: undefined, dev }, ...forbidOld(observed)]
}

function forbidOld(observed: ObservedLink | undefined): readonly Step[] {
  const vni = Number(/ vni (\d+) /.exec(observed?.alias ?? '')?.[1])
  const address = readRemote(observed)
  if (address === '' || !Number.isInteger(vni)) return []
  return [{ op: 'forbid-peer', netns: undefined, address, vni }]
}

function readRemote(observed: ObservedLink | undefined): string {
  return / remote (\S+)$/.exec(observed?.alias ?? '')?.[1] ?? ''
}
