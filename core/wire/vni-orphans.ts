// VNI claims that no wire needs, and VNIs in use that no claim covers.
import type { VniClaim } from './vni.ts'
import { toWireKey, type Wire, type WireId } from './wire.ts'

/** A claim is made before its wire notes it: one that is younger may be on its way there. */
const YOUNG_MS = 60_000

/**
 * Claims whose wire does not exist or has another VNI. Only to be asked when every wire could be read: one
 * that could not would count as gone.
 */
export function findOrphanVnis(
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
