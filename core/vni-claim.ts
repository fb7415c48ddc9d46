// VNIs that wires have claimed: whom each is for, and which of them nobody needs or nobody has claimed.
import { toWireKey, type Wire, type WireId } from './wire.ts'

export interface VniClaim {
  readonly vni: number
  readonly wire: WireId
  /** When it was made, in milliseconds since 1970. */
  readonly sinceMs: number
}

/** A claim is made before its wire notes it: one that is younger may be on its way there. */
const YOUNG_MS = 60_000

/**
 * Claims whose wire does not exist or has another VNI. Only to be asked when every wire could be read: one
 * that could not would count as gone.
 */
export function findStrayVnis(
  claims: readonly VniClaim[],
  wires: readonly (WireId & Pick<Wire, 'vni'>)[],
  nowMs: number,
): readonly VniClaim[] {
  const noted = new Map(wires.map((wire) => [toWireKey(wire), wire.vni]))
  return claims.filter(
    ({ vni, wire, sinceMs }) => nowMs - sinceMs > YOUNG_MS && noted.get(toWireKey(wire)) !== vni,
  )
}

/**
 * Wires that use a VNI without a claim of it: one node gave the claim back while the other took it over.
 * Claiming it again, as the VNI asked for, mends that.
 */
export function findUnclaimedVnis<T extends WireId & Pick<Wire, 'vni'>>(
  claims: readonly VniClaim[],
  wires: readonly T[],
): readonly T[] {
  const holders = new Map(claims.map(({ vni, wire }) => [vni, toWireKey(wire)]))
  return wires.filter((wire) => wire.vni !== undefined && holders.get(wire.vni) !== toWireKey(wire))
}
