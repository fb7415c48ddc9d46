// The result of a test run: frames sent by row, frames that arrived, and a verdict for each row.
import type { Ends, FrameRow } from './frames.ts'

export interface RowVerdict {
  readonly name: string
  /**
   * "too long" is no fault of the cable: a NIC's own MTU has no room for the frame. "extra" means frames that
   * the test did not send.
   */
  readonly outcome: 'delivered' | 'lost' | 'too long' | 'extra'
  /** Empty if delivered, else the reason, for people. */
  readonly fault: string
}

/** Bytes before the payload. An MTU does not count them. */
const HEADER_BYTES = 14

/** The name of the verdict on frames that nobody sent. */
export const NOTHING_ELSE = 'nothing else arrives'
export const IDLE_WIRE = 'idle wire is silent'

/** The frames of all rows, in the order they are sent. */
export function toFrames(rows: readonly FrameRow[], ends: Ends): readonly Uint8Array[] {
  return rows.flatMap((row) => row.frames(ends))
}

/**
 * One verdict per row, and a last one for frames that nobody sent. A row is delivered if each of its frames
 * arrived once, byte for byte, and after the frames sent before it.
 */
export function judge(
  rows: readonly FrameRow[],
  ends: Ends,
  received: readonly Uint8Array[],
  mtuBytes = Number.POSITIVE_INFINITY,
): readonly RowVerdict[] {
  const longestBytes = mtuBytes + HEADER_BYTES
  const places = new Map<string, number[]>()
  for (const [at, frame] of received.entries())
    places.set(toKey(frame), [...(places.get(toKey(frame)) ?? []), at])
  let last = -1
  const sent = new Set<string>()
  const verdicts = rows.map((row): RowVerdict => {
    const frames = row.frames(ends)
    const faults = frames.flatMap((frame) => {
      sent.add(toKey(frame))
      const at = places.get(toKey(frame)) ?? []
      const [first] = at
      if (first === undefined) return [`${describeFrame(frame)} lost`]
      if (at.length > 1) return [`${describeFrame(frame)} arrived ${at.length} times`]
      if (first < last) return [`${describeFrame(frame)} out of order`]
      last = first
      return []
    })
    const isTooLong = frames.some((frame) => frame.length > longestBytes)
    const lost = isTooLong ? 'too long' : 'lost'
    return {
      name: row.name,
      outcome: faults.length === 0 ? 'delivered' : lost,
      fault: [...faults, ...(isTooLong ? [`the MTU of a NIC is ${mtuBytes}`] : [])].join('; '),
    }
  })
  const strange = received.filter((frame) => !sent.has(toKey(frame)))
  return [...verdicts, toSilenceVerdict(NOTHING_ELSE, strange, ends.sender)]
}

/** Delivered means that no frame came. Frames from the far NIC itself come from its own network stack. */
export function toSilenceVerdict(
  name: string,
  received: readonly Uint8Array[],
  farMac?: string,
): RowVerdict {
  const own = farMac?.replaceAll(':', '')
  const isOwn = received.some((frame) => toKey(frame).slice(12, 24) === own)
  const hint = isOwn ? ['the far end itself sends: switch IPv6 off in its namespace'] : []
  return {
    name,
    outcome: received.length === 0 ? 'delivered' : 'extra',
    fault: [...received.slice(0, 3).map(describeFrame), ...hint].join('; '),
  }
}

/** A frame in a few words: length, addresses and ethertype. */
export function describeFrame(frame: Uint8Array): string {
  const hex = toKey(frame)
  return `${frame.length} bytes ${hex.slice(12, 24)} > ${hex.slice(0, 12)} type ${hex.slice(24, 28)}`
}

function toKey(frame: Uint8Array): string {
  let hex = ''
  for (const byte of frame) hex += byte.toString(16).padStart(2, '0')
  return hex
}
