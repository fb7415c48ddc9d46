import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../core/errors.ts'
import { findPause, type QemuEvent } from '../lab/migration-events.ts'
import {
  compareLogs,
  decodeStreamLog,
  findSilence,
  type Direction,
  type StreamLog,
} from '../lab/stream-log.ts'

/** A frame every millisecond from 0 on; those with these numbers came, one every millisecond from 0.5 ms on. */
function newLogs(sent: number, heard: readonly number[]): readonly [StreamLog, StreamLog] {
  const sender = { sent: Array.from({ length: sent }, (_, at) => at * 1000), heard: [], overrun: 0 }
  const came = heard.map((number, index) => ({ number, at: index * 1000 + 500 }))
  return [sender, { sent: [], heard: came, overrun: 0 }]
}

describe('compareLogs()', () => {
  const rows: readonly {
    readonly name: string
    readonly sent: number
    readonly heard: readonly number[]
    readonly want: Partial<Direction>
  }[] = [
    {
      name: 'all of it',
      sent: 4,
      heard: [0, 1, 2, 3],
      want: {
        received: 4,
        lost: 0,
        longestGapMs: 0,
        longestSilenceMs: 1,
        doubled: 0,
        reordered: 0,
      },
    },
    {
      name: 'a hole in the middle, by the time of the frame behind it',
      sent: 6,
      heard: [0, 1, 4, 5],
      want: { lost: 2, longestGapMs: 2 },
    },
    { name: 'an end that is missing', sent: 5, heard: [0, 1], want: { lost: 3, longestGapMs: 2 } },
    { name: 'twice', sent: 3, heard: [0, 1, 1, 2], want: { lost: 0, doubled: 1, reordered: 0 } },
    { name: 'late', sent: 4, heard: [0, 2, 1, 3], want: { lost: 0, doubled: 0, reordered: 1 } },
    {
      name: 'late, and twice',
      sent: 3,
      heard: [0, 2, 1, 0],
      want: { lost: 0, doubled: 1, reordered: 1 },
    },
    { name: 'nothing', sent: 3, heard: [], want: { received: 0, lost: 3, longestSilenceMs: 0 } },
  ]
  for (const { name, sent, heard, want } of rows)
    it(name, () => {
      expect(compareLogs(...newLogs(sent, heard))).to.include(want)
    })

  it('tells what was lost in a pause from what was lost before and after', () => {
    const pause = { from: 3500, to: 4500 }
    const want = { lost: 5, lostBefore: 2, lostAfter: 2 }
    expect(compareLogs(...newLogs(9, [0, 1, 7, 8]), pause)).to.include(want)
  })

  it('has all that is lost behind a pause that was none', () => {
    const want = { lost: 4, lostBefore: 0, lostAfter: 4 }
    expect(compareLogs(...newLogs(8, [0, 1, 6, 7]))).to.include(want)
  })
})

function newHeard(...times: readonly number[]): StreamLog {
  return { sent: [], heard: times.map((at, number) => ({ number, at })), overrun: 0 }
}

describe('findSilence()', () => {
  it('is the longest time between two frames', () => {
    expect(findSilence(newHeard(1, 3, 9, 12))).to.deep.equal({ from: 3, to: 9 })
  })
  it('has none where there are no two', () => {
    expect(findSilence(newHeard(1))).to.equal(undefined)
  })
})

describe('decodeStreamLog()', () => {
  it('reads what stream.pl writes', () => {
    const bytes = Buffer.alloc(12 + 2 * 8 + 12)
    for (const [at, value] of [2, 1, 3].entries()) bytes.writeUInt32LE(value, at * 4)
    bytes.writeBigUInt64LE(1_700_000_000_000_001n, 12)
    bytes.writeBigUInt64LE(1_700_000_000_001_001n, 20)
    bytes.writeUInt32LE(7, 28)
    bytes.writeBigUInt64LE(1_700_000_000_000_009n, 32)
    expect(decodeStreamLog(bytes)).to.deep.equal({
      sent: [1_700_000_000_000_001, 1_700_000_000_001_001],
      heard: [{ number: 7, at: 1_700_000_000_000_009 }],
      overrun: 3,
    })
  })

  for (const length of [0, 11, 13])
    it(`refuses ${length} bytes`, () => {
      expect(() => decodeStreamLog(new Uint8Array(length))).to.throw(DecodeError)
    })
})

function event(name: string, at: number): QemuEvent {
  return { name, at, details: '' }
}

describe('findPause()', () => {
  it('is from the last stop on, whoever saw it', () => {
    const events = [event('RESUME', 1), event('STOP', 2), event('RESUME', 3)]
    expect(
      findPause([event('RESUME', 9), event('MIGRATION', 8), ...events, event('STOP', 7)]),
    ).to.deep.equal({ from: 7, to: 9 })
  })

  it('is none where nothing stopped', () => {
    expect(findPause([event('RESUME', 1)])).to.equal(undefined)
  })

  it('has an end', () => {
    expect(() => findPause([event('RESUME', 1), event('STOP', 2)])).to.throw('does not run again')
  })
})
