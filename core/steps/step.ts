// Every change we make to a kernel, as data. Steps are idempotent where the kernel lets them be;
// argv.ts says how each is spelled for iproute2.
import type { NicRoute } from '../net/route.ts'
import type { FrameMatch } from './frame-match.ts'

/** Where a step happens: a network namespace by path, or the agent's own when undefined. */
interface InNetns {
  readonly netns: string | undefined
}

/**
 * Makes the pod end in the pod and the host end in the agent's namespace, in one go. The host end has no MTU yet with
 * which the kernel gives it IPv6: set-link does, once it is silent.
 */
export interface AddVethStep extends InNetns {
  readonly op: 'add-veth'
  readonly netns: string
  readonly dev: string
  readonly mac: string
  readonly mtuBytes: number
  readonly hostEnd: string
  /** The pod end is as silent as its host end, before it goes up. */
  readonly isSilent?: true
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
  /** The address alone: its network is not reached through this interface. */
  readonly isAlone?: true
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

/** A macvtap in passthru mode, down, with this ifindex: its character device has that number. */
export interface AddMacvtapStep extends InNetns {
  readonly op: 'add-macvtap'
  readonly dev: string
  readonly link: string
  readonly index: number
}

/** Gives a link that is down another name. */
export interface RenameLinkStep extends InNetns {
  readonly op: 'rename-link'
  readonly dev: string
  readonly name: string
}

export interface SetLinkStep extends InNetns {
  readonly op: 'set-link'
  readonly dev: string
  readonly mtuBytes?: number
  /**
   * True: no IPv6 link-local address, no ARP, no multicast: the device says nothing by itself. Comes before the MTU.
   * False: ARP and multicast are on.
   */
  readonly isSilent?: boolean
  /** Every multicast frame is taken, whoever has asked for it, by a link that shares its device; others take all. */
  readonly hearsAll?: true
  /** Frames are taken to whatever MAC. */
  readonly isPromiscuous?: true
  readonly alias?: string
  /** Applied last, so that a link never goes up before it is silent. */
  readonly up?: boolean
}

/** What goes out through a device is whole: frames no longer than their sender meant them, with checksums. */
export interface StopOffloadStep extends InNetns {
  readonly op: 'stop-offload'
  readonly dev: string
}

/** On a device: what comes in at it, or what goes out through it. */
export type Hook = 'ingress' | 'egress'

/** Everything that comes in at dev goes out at target. Replaces an earlier target without loss. */
export interface AddRedirectStep extends InNetns {
  readonly op: 'add-redirect'
  readonly dev: string
  readonly target: string
  /** Default: what comes in. */
  readonly hook?: Hook
  /** Whether target sends it, which is the default, or takes it as received. */
  readonly into?: Hook
  /** Behind the filters that steer on the same hook; default: before all. */
  readonly isBehindSteering?: true
}

/** Frames of one kind go elsewhere, before a redirect behind gets them. */
export interface SteerStep extends InNetns {
  readonly op: 'steer'
  readonly dev: string
  readonly hook: Hook
  /** Its place among those of this hook, from 1. */
  readonly place: number
  readonly frames: FrameMatch
  readonly target: string
  /** Whether target sends them, or takes them as received. */
  readonly into: Hook
  /** They go their own way, too. */
  readonly isCopied?: true
}

/** Nothing goes out through dev from now on. */
export interface DropEgressStep extends InNetns {
  readonly op: 'drop-egress'
  readonly dev: string
  /** Among the filters of that hook; default: right behind what is let through. */
  readonly place?: number
}

/** What comes from source by a redirect goes out through a mute dev all the same. */
export interface LetThroughStep extends InNetns {
  readonly op: 'let-through'
  readonly dev: string
  readonly source: string
  /** Of u32, "803", where it takes the place of the filter that is there; default: a new one in its place's own. */
  readonly table?: string
}

/** A veth pair within one namespace, without addresses of its own. */
export interface AddPairStep extends InNetns {
  readonly op: 'add-pair'
  readonly dev: string
  readonly peer: string
  /** Of dev; default: the kernel's choice. */
  readonly mac?: string
}

/** An address behind dev is reached at this MAC, without asking. */
export interface SetNeighbourStep extends InNetns {
  readonly op: 'set-neighbour'
  readonly dev: string
  readonly address: string
  readonly mac: string
}

/** What arrives at dev for these addresses is taken for its own, to whichever MAC it was sent; all else is lost. */
export interface AcceptForStep extends InNetns {
  readonly op: 'accept-for'
  readonly dev: string
  readonly addresses: readonly string[]
  /** IPv4 addresses that ARP may ask for there; all other ARP is lost. */
  readonly asked: readonly string[]
  /** Where what a DHCPv6 client would rebind comes in, to be sent through as what it would have confirmed. */
  readonly confirmsAt?: string
}

export interface ForgetAcceptForStep extends InNetns {
  readonly op: 'forget-accept-for'
  readonly dev: string
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

/** Removes what has a place among the filters of a hook: all of it, or the one that is named. */
export interface DelFiltersStep extends InNetns {
  readonly op: 'del-filters'
  readonly dev: string
  readonly hook: Hook
  readonly place: number
  readonly one?: { readonly protocol: string; readonly kind: string; readonly handle: string }
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
  /** Drops what did not come by the interface that leads back to its sender; false for a kernel without nft_fib. */
  readonly checksPath: boolean
  /** Interfaces that lead to one of several hops of an IPv6 route: the check knows one hop of those. */
  readonly hops: readonly string[]
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
  | AddMacvtapStep
  | RenameLinkStep
  | SetLinkStep
  | StopOffloadStep
  | AddRedirectStep
  | SteerStep
  | DropEgressStep
  | LetThroughStep
  | AddPairStep
  | AcceptForStep
  | ForgetAcceptForStep
  | SetNeighbourStep
  | DelQueueStep
  | DelRedirectStep
  | DelFiltersStep
  | DelLinkStep
