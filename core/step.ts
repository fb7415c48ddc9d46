// Every change we make to a kernel, as data. Steps are idempotent where the kernel lets them be;
// argv.ts says how each is spelled for iproute2.

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

export interface AddTapStep extends InNetns {
  readonly op: 'add-tap'
  readonly dev: string
  /** Uid and gid that may open it. */
  readonly owner: number
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

export type Step =
  | AddVethStep
  | AddTapStep
  | SetLinkStep
  | AddRedirectStep
  | DelQueueStep
  | DelRedirectStep
  | DelLinkStep
