// What one end of a numbered stream (stream.pl) noted, and what the notes of both ends say of one direction.
import { DecodeError } from '../core/errors.ts'

/** Times are microseconds since 1970 by the clock of the end that noted them. */
export interface StreamLog {
  /** When each frame was sent, by its number. */
  readonly sent: readonly number[]
  /** In the order in which they came. */
  readonly heard: readonly Heard[]
  /** Frames that came, and that the end itself had no room for. */
  readonly overrun: number
}

export interface Heard {
  readonly number: number
  readonly at: number
}

/** A time in which a guest ran nowhere, or nothing was heard of it, by the clock of the machine. */
export interface Pause {
  readonly from: number
  readonly to: number
}

export interface Direction {
  readonly sent: number
  readonly received: number
  readonly lost: number
  /** Of these, sent before the pause: what the guest had not taken yet when it stopped. */
  readonly lostBefore: number
  /** Of these, sent after the pause: what did not find the guest where it ran by then. */
  readonly lostAfter: number
  /** From the first frame of the longest run of lost ones to the next that arrived, by the sender's clock. */
  readonly longestGapMs: number
  /** The longest time between two frames heard, by the receiver's clock. */
  readonly longestSilenceMs: number
  /** Frames that came once more. */
  readonly doubled: number
  /** Frames that came behind one with a higher number. */
  readonly reordered: number
  /** Frames that the receiver had no room for: a fault of the instrument. */
  readonly overrun: number
}

const HEADER_BYTES = 12
const SENT_BYTES = 8
const HEARD_BYTES = 12

/** Throws DecodeError. */
export function decodeStreamLog(bytes: Uint8Array): StreamLog {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const readTime = (at: number): number => Number(view.getBigUint64(at, true))
  const [sent = 0, heard = 0, overrun = 0] =
    bytes.length < HEADER_BYTES ? [] : [0, 4, 8].map((at) => view.getUint32(at, true))
  const heardFrom = HEADER_BYTES + sent * SENT_BYTES
  const length = heardFrom + heard * HEARD_BYTES
  if (bytes.length < HEADER_BYTES || bytes.length !== length)
    throw new DecodeError('stream log', bytes.length, `${Math.max(length, HEADER_BYTES)} bytes`)
  return {
    sent: Array.from({ length: sent }, (_, number) => readTime(HEADER_BYTES + number * SENT_BYTES)),
    heard: Array.from({ length: heard }, (_, index) => {
      const at = heardFrom + index * HEARD_BYTES
      return { number: view.getUint32(at, true), at: readTime(at + 4) }
    }),
    overrun,
  }
}

/** From this sender to this receiver; without a pause the guest ran all the time. */
export function compareLogs(sender: StreamLog, receiver: StreamLog, pause?: Pause): Direction {
  const { sent } = sender
  const arrived = new Set(receiver.heard.map(({ number }) => number))
  const isLost = (number: number): boolean => !arrived.has(number)
  const lost = [...sent.keys()].filter(isLost)
  const { from, to } = pause ?? { from: -Infinity, to: -Infinity }
  return {
    sent: sent.length,
    received: receiver.heard.length,
    lost: lost.length,
    lostBefore: lost.filter((number) => (sent[number] ?? 0) < from).length,
    lostAfter: lost.filter((number) => (sent[number] ?? 0) > to).length,
    longestGapMs: findLongestGap(sent, isLost) / 1000,
    longestSilenceMs: toMs(findSilence(receiver)),
    doubled: receiver.heard.length - arrived.size,
    reordered: countReordered(receiver.heard),
    overrun: receiver.overrun,
  }
}

function findLongestGap(sent: readonly number[], isLost: (number: number) => boolean): number {
  let longest = 0
  let began: number | undefined
  for (const [number, at] of sent.entries()) {
    if (isLost(number)) began ??= at
    if (began !== undefined) longest = Math.max(longest, at - began)
    if (!isLost(number)) began = undefined
  }
  return longest
}

/** The longest time between two frames heard; undefined where there are no two. */
export function findSilence({ heard }: StreamLog): Pause | undefined {
  const silences = heard.slice(1).map(({ at }, index) => ({ from: heard[index]?.at ?? at, to: at }))
  return silences.reduce<Pause | undefined>(
    (longest, one) => (toMs(one) > toMs(longest) ? one : longest),
    silences[0],
  )
}

export function toMs(pause: Pause | undefined): number {
  return pause === undefined ? 0 : (pause.to - pause.from) / 1000
}

function countReordered(heard: readonly Heard[]): number {
  const seen = new Set<number>()
  let highest = -1
  let count = 0
  for (const { number } of heard) {
    // One that comes twice is doubled.
    if (number < highest && !seen.has(number)) count += 1
    seen.add(number)
    highest = Math.max(highest, number)
  }
  return count
}
