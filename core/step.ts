// Every change we make to a kernel, as data. Steps are idempotent where the kernel lets them be;
// argv.ts says how each is spelled for iproute2.
import type { NicRoute } from './addressing.ts'

/** Where a step happens: a network namespace by path, or the agent's own when undefined. */
interface InNetns {
  readonly netns: string | undefined
}

/** Makes the pod end in the pod and the host end in the agent's namespace, in one go. */
export interface AddVethStep extends InNetns {
  readonly op: 'add-veth'
  readonly netns: string
  readonly dev: string
  readonly mac: string
  readonly mtuBytes: number
  readonly hostDevice: string
  readonly hostMtuBytes: number
}

/** Claims a device's ingress hook, where redirects go: nobody else's discipline fits there then. */
export interface ClaimIngressStep extends InNetns {
  readonly op: 'claim-ingress'
  readonly dev: string
}

/** Gives an interface an address, "10.0.0.2/24", that can be used at once. */
export interface AddAddressStep extends InNetns {
  readonly op: 'add-address'
  readonly dev: string
  readonly address: string
}

/** A route through an interface, behind those to the same destination that are there already. */
export interface AddRouteStep extends InNetns {
  readonly op: 'add-route'
  readonly dev: string
  readonly route: NicRoute
}

export interface AddTapStep extends InNetns {
  readonly op: 'add-tap'
  readonly dev: string
  /** Uid and gid that may open it. */
  readonly owner: number
  /** Opened with several queues, and then with no other number than several (tun(4), EINVAL). */
  readonly isMultiQueue: boolean
}

export interface SetLinkStep extends InNetns {
  readonly op: 'set-link'
  readonly dev: string
  readonly mtuBytes?: number
  /** No IPv6 link-local address, no ARP, no multicast: the device says nothing by itself. */
  readonly isSilent?: true
  readonly alias?: string
  /** Applied last, so that a link never goes up before it is silent. */
  readonly up?: boolean
}

/** Everything that comes in at dev goes out at target. Replaces an earlier target without loss. */
export interface AddRedirectStep extends InNetns {
  readonly op: 'add-redirect'
  readonly dev: string
  readonly target: string
}

/** Takes the queueing discipline from a device: a cable keeps the order of its frames. */
export interface DelQueueStep extends InNetns {
  readonly op: 'del-queue'
  readonly dev: string
}

export interface DelRedirectStep extends InNetns {
  readonly op: 'del-redirect'
  readonly dev: string
}

export interface DelLinkStep extends InNetns {
  readonly op: 'del-link'
  readonly dev: string
}

/** A point-to-point VXLAN device: its own VNI, one remote, nothing learnt. */
export interface AddVxlanStep extends InNetns {
  readonly op: 'add-vxlan'
  readonly dev: string
  readonly vni: number
  readonly local: string
  readonly remote: string
  readonly port: number
  readonly mtuBytes: number
}

/** Points a VXLAN device to another remote of the same address family, without loss. */
export interface SetRemoteStep extends InNetns {
  readonly op: 'set-remote'
  readonly dev: string
  readonly vni: number
  readonly remote: string
}

/** Makes the node drop datagrams on the tunnels' port unless a peer is allowed. Idempotent, atomic. */
export interface GuardPortStep extends InNetns {
  readonly op: 'guard-port'
  readonly port: number
}

/** Lets datagrams with this VNI in from this address, or no longer. Both idempotent. */
export interface PeerStep extends InNetns {
  readonly op: 'allow-peer' | 'forbid-peer'
  readonly address: string
  readonly vni: number
}

export type Step =
  | AddVxlanStep
  | SetRemoteStep
  | GuardPortStep
  | PeerStep
  | AddVethStep
  | ClaimIngressStep
  | AddAddressStep
  | AddRouteStep
  | AddTapStep
  | SetLinkStep
  | AddRedirectStep
  | DelQueueStep
  | DelRedirectStep
  | DelLinkStep
