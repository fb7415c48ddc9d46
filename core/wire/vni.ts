// VXLAN network identifiers: their range, and which are free when random draws were not (store/choose-vni.ts draws).
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { whole } from '../shape.ts'
import type { WireId } from './wire.ts'

/** A VNI has 24 bits (RFC 7348). */
export const VNI_MAX = 0xff_ffff

/** Throws DecodeError. */
export const decodeVni = whole(1, VNI_MAX, `a whole number from 1 to ${VNI_MAX}`)

export interface VniRange {
  readonly first: number
  readonly last: number
}

export interface VniClaim {
  readonly vni: number
  readonly wire: WireId
  /** The node that keeps it, where agents are told apart: no other one may give it back. */
  readonly node?: string | undefined
  /** When it was made, in milliseconds since 1970. */
  readonly sinceMs: number
}

/** "4096-16777215". Throws DecodeError. */
export function decodeVniRange(text: string, path: string): VniRange {
  const [, first = NaN, last = NaN] = (/^(\d+)-(\d+)$/.exec(text) ?? []).map(Number)
  if (first >= 1 && last <= VNI_MAX && first <= last) return { first, last }
  throw new DecodeError(path, text, `two numbers from 1 to ${VNI_MAX}, like "4096-16777215"`)
}

/** Candidates in order: from a start to the end of the range, then round. Throws CniError 107 when all are taken. */
export function* listFreeVnis(
  range: VniRange,
  taken: ReadonlySet<number>,
  start: number,
): Generator<number> {
  const { first, last } = range
  for (let vni = start; vni <= last; vni += 1) if (!taken.has(vni)) yield vni
  for (let vni = first; vni < start; vni += 1) if (!taken.has(vni)) yield vni
  throw new CniError(
    CNI_CODE.VNI_EXHAUSTED,
    `Cannot find a VNI: all of ${first} to ${last} are taken, expected a larger --vni-range`,
  )
}
