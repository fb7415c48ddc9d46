// What the verbs of this node work with.
import type { Logger } from 'pino'

import type { NodeFacts, WireAttachment } from '../core/attach/attachment.ts'
import type { Classifier } from '../core/steps/argv.ts'
import type { Step } from '../core/steps/step.ts'
import type { TunnelEnd } from '../core/wire/tunnel.ts'
import type { VniRange } from '../core/wire/vni.ts'
import type { Run } from '../kernel/run.ts'
import type { Notice } from '../core/wire/notice.ts'
import type { GuestRef } from '../core/guest/carrier.ts'
import type { ObjectRef, Pod, PodOwner } from '../core/wire/holder.ts'
import type { GuestArrival, MigrationState } from '../core/wire/migration.ts'
import type { Launcher } from '../core/attach/launcher.ts'
import type { MigrationRef } from '../core/podnetwork/migration-source.ts'
import type { CarrierShown, NodeReport, Wire } from '../core/wire/wire.ts'
import type { WireStore } from '../store/wire-store.ts'
import type { Turns } from './turns.ts'
import type { AwaitedGuests } from './wire/awaited.ts'
import type { LinkCache } from './wire/link-cache.ts'
import type { DhcpServers } from './podnetwork/servers.ts'
import type { Telling } from './guest/telling.ts'
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
  /** Undefined for a pod that is gone. Throws CniError 11 or 109. */
  readonly findPodOwner: (namespace: string, name: string) => Promise<PodOwner | undefined>
  /** All wires of the cluster, this node's or not. */
  readonly list: WireStore['list']
  /** The names of all nodes of the cluster. */
  readonly listNodes: () => Promise<ReadonlySet<string>>
  readonly tell: (subjects: readonly ObjectRef[], notice: Notice) => Promise<void>
  /** How far the migration to a pod on a node is. Throws CniError 11 or 109. */
  readonly readMigration: (
    vmi: { readonly namespace: string; readonly name: string },
    target: { readonly pod: string; readonly node: string },
  ) => Promise<MigrationState>
  /** The pod object that a migration's VM comes from. Throws CniError 11 or 109. */
  readonly readSourcePod: (migration: MigrationRef) => Promise<unknown>
  /** The way to a VM's guest; it throws what may go better later, and says what will not. */
  readonly findGuest: (guest: GuestRef) => (hasCarrier: boolean) => Promise<CarrierShown>
}

/** Macvtaps that the kubelet hands out. */
export interface MacvtapPool {
  /** Where container runtimes find the devices. */
  readonly folder: string
  readonly count: number
  /** The kubelet's list of what pods were given; undefined where no kubelet hands devices out. */
  readonly podResources: string | undefined
}

/** What this node made of a wire, as long as the store has not taken it. */
export interface UnwrittenReport {
  /** This node's own ends, whose users are told. */
  readonly ends: readonly WireAttachment[]
  readonly words: NodeReport
}

export interface AgentContext extends NodeFacts {
  /** Undefined on a single node, whose wires go nowhere else. */
  readonly underlay: Underlay | undefined
  /** Whether the kernel can drop what claims to come from a node and did not come from there. */
  readonly checksPath: boolean
  readonly run: Run
  /** The folder that is /proc/sys/net, where it can be written. */
  readonly netSysctls: string
  /** Where it stands what resolvers are told. */
  readonly resolvConf: ResolvConfFiles
  readonly classifier: Classifier
  readonly store: WireStore
  /** Undefined where the store is a folder. */
  readonly cluster: Cluster | undefined
  readonly state: AttachmentState
  /**
   * By host end, whether its pod end is up: what was read inside pods, until the kernel tells of a change. A symbol
   * while somebody reads: gone, or another, when the read ends, it is out of date already.
   */
  readonly podEndStates: Map<string, boolean | symbol>
  /** By wire: its claims as of the last look that went well. */
  readonly lookedAt: Map<string, string>
  /** By wire: how its devices should be, as of the last look at it. */
  readonly wanted: Map<string, readonly Step[]>
  readonly linkCache: LinkCache
  /** By wire: the newest report. */
  readonly unwritten: Map<string, UnwrittenReport>
  /** By container: migrations' targets whose guests have not come yet. */
  readonly arrivals: Map<string, GuestArrival>
  /** Those that come to other nodes, and that this one may hear. */
  readonly awaited: AwaitedGuests
  /** By wire: attachments whose guests this node has heard, as long as the store has them standing by. */
  readonly heard: Map<string, ReadonlySet<string>>
  /** By wire: the document as last read. */
  readonly known: Map<string, Wire>
  /** By attachment: VMs' ends whose guests are told of their cables, */
  readonly tellings: Map<string, Telling>
  /** and what came of that. */
  readonly carrierShown: Map<string, CarrierShown>
  /** Where plugins leave release notes. */
  readonly releasedFolder: string
  /** Keys of attachments whose devices are gone while the store is still to be told. */
  readonly leaving: Set<string>
  /** Of VMs that have a pod link's addresses. */
  readonly dhcpServers: DhcpServers
  readonly macvtaps: MacvtapPool
  readonly turns: Turns
  readonly log: Logger
}
