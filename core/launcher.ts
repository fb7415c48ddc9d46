// What a launcher pod and its VM want of one NIC, as values.
import type { BindConfig } from './cni/bind-config.ts'
import type { PodRef } from './cni/env.ts'

/** What a pod's resolv.conf says. */
export interface PodDns {
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
}

export const NO_DNS: PodDns = { nameservers: [], searches: [] }

export interface NicWish {
  /** Of the pod: its own, or its name, as Kubernetes has it. */
  readonly hostname: string | undefined
  readonly dns: PodDns
  /** The MAC the VMI asks for; undefined takes the pod link's. */
  readonly mac: string | undefined
  /** QEMU will open several queues. */
  readonly isMultiQueue: boolean
}

/** What is known without a cluster. */
export function toNicWish(pod: PodRef, config: BindConfig): NicWish {
  return {
    hostname: pod.name,
    dns: config.dns ?? NO_DNS,
    mac: undefined,
    isMultiQueue: config.isMultiQueue ?? false,
  }
}
