// What the verbs of this node work with.
import type { Logger } from 'pino'

import type { NodeFacts } from '../core/attachment.ts'
import type { Classifier } from '../core/argv.ts'
import type { TunnelEnd } from '../core/tunnel.ts'
import type { VniRange } from '../core/vni.ts'
import type { Run } from '../kernel/run.ts'
import type { Notice } from '../core/notice.ts'
import type { GuestRef } from '../core/guest-carrier.ts'
import type { ObjectRef, Pod, PodOwner } from '../core/holder.ts'
import type { Launcher } from '../core/launcher.ts'
import type { CarrierShown } from '../core/wire.ts'
import type { WireStore } from '../store/wire-store.ts'
import type { KeyQueue } from './key-queue.ts'
import type { Leads } from './leads.ts'
import type { LeaseServers } from './lease-servers.ts'
import type { MacvtapPool } from './macvtap.ts'
import type { OwnerStates } from './owner.ts'
import type { Standing } from './stand-down.ts'
import type { AttachmentState } from './state.ts'

/** What tunnels to other nodes go by. */
export interface Underlay extends TunnelEnd {
  readonly vniRange: VniRange
}

/** Paths. */
export interface ResolvConfFiles {
  readonly own: string
  readonly node: string | undefined
}

/** What there is to know of a launcher, and the refusal of what there is not. */
export interface ReadLauncher extends Launcher {
  readonly refusal?: string
}

/** What a cluster knows besides wires. */
export interface Cluster {
  /** Undefined for a pod that is gone. */
  readonly findPod: (namespace: string, name: string) => Promise<Pod | undefined>
  /** Throws CniError 11, 109 or 112. */
  readonly readLauncher: (namespace: string, name: string) => Promise<ReadLauncher>
  readonly findPodOwner: (namespace: string, name: string) => Promise<PodOwner | undefined>
  /** All wires of the cluster, this node's or not. */
  readonly list: WireStore['list']
  /** The names of all nodes of the cluster. */
  readonly listNodes: () => Promise<ReadonlySet<string>>
  readonly tell: (subjects: readonly ObjectRef[], notice: Notice) => Promise<void>
  /** The way to a VM's guest; it throws what may go better later, and says what will not. */
  readonly findGuest: (guest: GuestRef) => (hasCarrier: boolean) => Promise<CarrierShown>
}

export interface Node extends NodeFacts {
  /** Undefined on a single node, whose wires go nowhere else. */
  readonly underlay: Underlay | undefined
  readonly run: Run
  /** The folder that is /proc/sys/net, where it can be written. */
  readonly netSysctls: string
  /** Where it stands what resolvers are told. */
  readonly resolvConf: ResolvConfFiles
  readonly classifier: Classifier
  readonly store: WireStore
  /** Whether the node's name is still ours. */
  readonly standing: Standing
  /** Undefined where the store is a folder. */
  readonly cluster: Cluster | undefined
  readonly state: AttachmentState
  readonly owners: OwnerStates
  /** By wire: its claims as of the last look that went well. */
  readonly lookedAt: Map<string, string>
  /** Our devices, and whether each should be up, as of the last look at its wire. */
  readonly wantedUp: Map<string, boolean>
  readonly leads: Leads
  /** Where plugins leave release notes. */
  readonly releasedFolder: string
  /** Keys of attachments whose devices are gone while the store is still to be told. */
  readonly leaving: Set<string>
  /** Of VMs that have a pod link's addresses. */
  readonly leaseServers: LeaseServers
  readonly macvtaps: MacvtapPool
  readonly queue: KeyQueue
  readonly log: Logger
}
