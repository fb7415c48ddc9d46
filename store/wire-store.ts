// Where wires are kept. One small interface, so that all that is decided stays in core/wire.ts.
import type { VniRange } from '../core/vni.ts'
import type { VniClaim } from '../core/vni-claim.ts'
import type { Wire, WireId } from '../core/wire.ts'

/** The wire as it should become, from the wire as it is; undefined is a wire that does not exist. */
export type Change = (wire: Wire | undefined) => Wire | undefined

export interface VniStore {
  /**
   * Takes a free VNI of the range for a wire, or exactly the one asked for. One that the wire has claimed
   * already is its own. Throws CniError 107 or 108.
   */
  claimVni(id: WireId, range: VniRange, asked: number | undefined): Promise<number>
  /** Idempotent; a VNI that another wire has claimed stays. */
  releaseVni(vni: number, id: WireId): Promise<void>
  listVnis(): Promise<readonly VniClaim[]>
}

export interface NodeNames {
  /**
   * Takes the name of a node. Who holds it already loses it: of two agents with one name the newer one has
   * it. onLost is told, once, who has taken it from us.
   */
  holdNode(node: string, identity: string, onLost: (holder: string) => void): Promise<Disposable>
}

export interface WireStore extends VniStore, NodeNames {
  /** Undefined when there is no such wire. */
  read(id: WireId): Promise<Wire | undefined>
  /** Applies a change atomically, against every other writer; an error the change throws comes out. */
  update(id: WireId, change: Change): Promise<Wire | undefined>
  /** Documents that cannot be read are told to onUnreadable and left out. */
  list(onUnreadable: (error: unknown) => void): Promise<readonly Wire[]>
  /** Calls onChange for each wire that is written or removed, by whomever, until disposed. */
  watch(onChange: (id: WireId) => void, onError: (error: unknown) => void): Promise<Disposable>
  /** Resolves when wires can be read and written; else says why not. */
  probe(): Promise<void>
}
