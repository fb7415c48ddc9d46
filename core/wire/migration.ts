// How far a migration is, seen from the sandbox of its target: whether the guest has come. Pure.
import { isRecord } from '../record.ts'
import { getFields } from './holder.ts'

/** How far the migration to a launcher is, by its VirtualMachineInstance. */
export type MigrationState = 'pending' | 'running' | 'done' | 'failed'

/** Of the migration to the pod of this name on this node. A VMI that is not there has none: "failed". */
export function toMigrationState(vmi: unknown, pod: string, node: string): MigrationState {
  const status = getFields(vmi, 'status')
  const migration = getFields(status, 'migrationState')
  if (status['nodeName'] === node) return 'done'
  if (!isRecord(vmi)) return 'failed'
  // What an earlier migration has left says nothing of this one.
  if (migration['targetPod'] !== pod) return 'pending'
  if (migration['failed'] === true) return 'failed'
  // The target's virt-handler writes it once the guest runs there, before all else that it has to finish.
  const isThere = typeof migration['targetNodeDomainReadyTimestamp'] === 'string'
  return isThere || migration['completed'] === true ? 'done' : 'running'
}

/** The sandbox of a migration's target, until the guest has come. */
export interface GuestArrival {
  /** Keys of the attachments that stand by. */
  readonly ends: ReadonlySet<string>
  /** As last heard. */
  readonly state: MigrationState
  /** Frames that had come out of each host end when the migration began to run: none of the guest's. */
  readonly before: ReadonlyMap<string, number>
}

/**
 * The arrival as its VMI says. Undefined where nobody can be asked: whatever comes out of the sandbox from now on is its
 * guest's, since its own stack is silent.
 */
export function noteState(arrival: GuestArrival, state: MigrationState | undefined): GuestArrival {
  if (state === undefined)
    return arrival.state === 'pending' ? { ...arrival, state: 'running' } : arrival
  return { ...arrival, state, before: state === 'pending' ? new Map() : arrival.before }
}

/**
 * The arrival with what its host ends have received by now, and whether the guest has come: it is here by its VMI, or a
 * frame has come out of a sandbox whose own stack is silent.
 */
export function countFrames(
  arrival: GuestArrival,
  received: ReadonlyMap<string, number>,
): { readonly arrival: GuestArrival; readonly isHere: boolean } {
  const { state, before } = arrival
  if (state !== 'running') return { arrival, isHere: state === 'done' }
  const isHere = [...received].some(([dev, count]) => count > (before.get(dev) ?? count))
  // A device that somebody deleted is made again, and counts from zero.
  const fresh = [...received].filter(([dev, count]) => count < (before.get(dev) ?? Infinity))
  return { arrival: { ...arrival, before: new Map([...before, ...fresh]) }, isHere }
}
