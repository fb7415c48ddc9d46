// What the verbs of this node work with.
import type { Logger } from 'pino'

import type { Classifier } from '../core/argv.ts'
import type { Run } from '../kernel/run.ts'
import type { WireStore } from '../store/wire-store.ts'
import type { KeyQueue } from './key-queue.ts'
import type { AttachmentState } from './state.ts'

export interface Node {
  readonly name: string
  readonly run: Run
  readonly classifier: Classifier
  readonly store: WireStore
  readonly state: AttachmentState
  readonly queue: KeyQueue
  readonly log: Logger
}
