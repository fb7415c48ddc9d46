// Where wires are kept. One small interface, so that all that is decided stays in core/wire.ts.
import type { Wire, WireId } from '../core/wire.ts'

/** The wire as it should become, from the wire as it is; undefined is a wire that does not exist. */
export type Change = (wire: Wire | undefined) => Wire | undefined

export interface WireStore {
  /** Undefined when there is no such wire. */
  read(id: WireId): Promise<Wire | undefined>
  /** Applies a change atomically, against every other writer; an error the change throws comes out. */
  update(id: WireId, change: Change): Promise<Wire | undefined>
  list(): Promise<readonly Wire[]>
  /** Resolves when wires can be read and written; else says why not. */
  probe(): Promise<void>
}
