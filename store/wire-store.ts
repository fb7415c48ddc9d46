// Where wires are kept. One small interface, so that all decisions stay in core/wire/wire.ts.
import type { VniRange } from '../core/wire/vni.ts'
import type { VniClaim } from '../core/wire/vni.ts'
import type { Wire, WireId } from '../core/wire/wire.ts'

/** Returns the wanted wire, given the current one; undefined is a wire that does not exist. */
export type Change = (wire: Wire | undefined) => Wire | undefined

export interface VniStore {
  /**
   * Takes a free VNI of the range for a wire, or exactly the one asked for. A VNI that the wire has claimed
   * already counts as its own. Throws CniError 107 or 108.
   */
  claimVni(id: WireId, range: VniRange, asked: number | undefined): Promise<number>
  /** Whether this wire has claimed it. */
  hasVni(vni: number, id: WireId): Promise<boolean>
  /** Idempotent. A VNI that another wire has claimed stays. */
  releaseVni(vni: number, id: WireId): Promise<void>
  /**
   * Passes the claim on to another node that has a tunnel, if it is ours to pass on. Otherwise nothing changes.
   */
  passVni(vni: number, id: WireId, to: string): Promise<void>
  listVnis(): Promise<readonly VniClaim[]>
}

export interface WireStore extends VniStore {
  /** Undefined if there is no such wire. */
  read(id: WireId): Promise<Wire | undefined>
  /** Applies a change atomically against every other writer. An error that the change throws is passed on. */
  update(id: WireId, change: Change): Promise<Wire | undefined>
  /** Reports documents that cannot be read to onUnreadable and leaves them out. */
  list(onUnreadable: (error: unknown) => void): Promise<readonly Wire[]>
  /** Calls onChange for each wire that anybody writes or removes, until disposed. */
  watch(onChange: (id: WireId) => void, onError: (error: unknown) => void): Promise<Disposable>
  /** Resolves if wires can be read and written; otherwise throws the reason. */
  probe(): Promise<void>
  /**
   * As probe, and also checks that one more document finds room. A full store can still be read, and agents can
   * start.
   */
  prove(): Promise<void>
}
