// What the verbs of this node work with.
import type { Logger } from 'pino'

import type { NodeFacts } from '../core/attachment.ts'
import type { Classifier } from '../core/argv.ts'
import type { VniRange } from '../core/vni.ts'
import type { Run } from '../kernel/run.ts'
import type { WireStore } from '../store/wire-store.ts'
import type { KeyQueue } from './key-queue.ts'
import type { AttachmentState } from './state.ts'

/** What tunnels to other nodes go by. */
export interface Underlay {
  readonly address: string
  /** UDP port of all nodes' tunnels. */
  readonly port: number
  readonly vniRange: VniRange
}

export interface Node extends NodeFacts {
  /** Undefined on a single node, whose wires go nowhere else. */
  readonly underlay: Underlay | undefined
  readonly run: Run
  readonly classifier: Classifier
  readonly store: WireStore
  readonly state: AttachmentState
  readonly queue: KeyQueue
  readonly log: Logger
}
