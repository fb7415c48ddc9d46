// VXLAN network identifiers: which ones we take, and the next one that is free.
import { CNI_CODE, CniError, DecodeError } from './errors.ts'
import { sha256 } from './hash.ts'

/** A VNI has 24 bits (RFC 7348). */
export const VNI_MAX = 0xff_ffff

export interface VniRange {
  readonly first: number
  readonly last: number
}

/** "4096-16777215". Throws DecodeError. */
export function decodeVniRange(text: string, path: string): VniRange {
  const [, first = NaN, last = NaN] = (/^(\d+)-(\d+)$/.exec(text) ?? []).map(Number)
  if (first >= 1 && last <= VNI_MAX && first <= last) return { first, last }
  throw new DecodeError(path, text, `two numbers from 1 to ${VNI_MAX}, like "4096-16777215"`)
}

/**
 * Candidates in order: behind the highest that is taken, then from the start of the range. So a VNI
 * that was given back rests as long as the range allows. Throws CniError 107 when all are taken.
 */
export function* listFreeVnis(range: VniRange, taken: ReadonlySet<number>): Generator<number> {
  const { first, last } = range
  const highest = Math.max(first - 1, ...[...taken].filter((vni) => vni >= first && vni <= last))
  for (let vni = highest + 1; vni <= last; vni += 1) yield vni
  for (let vni = first; vni < highest; vni += 1) if (!taken.has(vni)) yield vni
  throw new CniError(
    CNI_CODE.VNI_EXHAUSTED,
    `Cannot find a VNI: all of ${first} to ${last} are taken, expected a larger --vni-range`,
  )
}

/** A VNI of the range that follows from the wire's key: two wires seldom guess the same one. */
export function guessVni({ first, last }: VniRange, wireKey: string): number {
  return first + (sha256(wireKey).readUInt32BE(0) % (last - first + 1))
}
