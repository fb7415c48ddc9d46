import { expect } from 'chai'
import { describe, it } from 'mocha'

import { concatBytes, fillPayload, fromHex } from '../../../core/tester/bytes.ts'
import { FRAME_ROWS, LONGEST_FRAME_BYTES } from '../../../core/tester/frames.ts'
import { renderVerdicts } from '../../../core/tester/table.ts'
import {
  IDLE_WIRE,
  judge,
  toFrames,
  toSilenceVerdict,
  type RowVerdict,
} from '../../../core/tester/verdict.ts'

const ENDS = { sender: '02:00:00:00:00:0a', receiver: '02:00:00:00:00:0b' }
const SENT = toFrames(FRAME_ROWS, ENDS)

/** Hex from the source MAC's end on: the tags and the ethertype. */
function getTypeHex(name: string): string {
  const frame = FRAME_ROWS.find((row) => row.name === name)?.frames(ENDS)[0] ?? new Uint8Array()
  return Buffer.from(frame.subarray(12, 20)).toString('hex')
}

function listLost(verdicts: readonly RowVerdict[]): readonly string[] {
  return verdicts.filter((verdict) => verdict.outcome !== 'delivered').map(({ name }) => name)
}

describe('FRAME_ROWS', () => {
  it('has no two equal frames, in either direction', () => {
    const back = toFrames(FRAME_ROWS, { sender: ENDS.receiver, receiver: ENDS.sender })
    for (const frames of [SENT, back])
      expect(new Set(frames.map((frame) => Buffer.from(frame).toString('hex'))).size).to.equal(
        frames.length,
      )
  })

  it('goes from runts of 14 bytes to the longest frame', () => {
    const lengths = SENT.map((frame) => frame.length)
    expect(Math.min(...lengths)).to.equal(14)
    expect(Math.max(...lengths)).to.equal(LONGEST_FRAME_BYTES)
  })

  it('has a row for every reserved address', () => {
    for (let last = 0; last < 16; last += 1)
      expect(
        SENT.some(
          (frame) =>
            Buffer.from(frame.subarray(0, 6)).toString('hex') === `0180c200000${last.toString(16)}`,
        ),
      ).to.equal(true)
  })

  it('has the tags it says it has', () => {
    expect(getTypeHex('QinQ 88A8 + 8100')).to.equal('88a80064810000c8')
    expect(getTypeHex('QinQ 8100 + 8100')).to.equal('81000064810000c8')
    expect(getTypeHex('01-80-C2-00-00-01 pause')).to.match(/^8808/)
  })
})

describe('judge()', () => {
  it('is content with all frames in order', () => {
    expect(listLost(judge(FRAME_ROWS, ENDS, SENT))).to.deep.equal([])
  })

  const lldp = FRAME_ROWS.findIndex((row) => row.name.endsWith('LLDP'))
  const faults: readonly {
    name: string
    received: readonly Uint8Array[]
    want: readonly string[]
    word: string
  }[] = [
    {
      name: 'a lost frame',
      received: SENT.toSpliced(lldp, 1),
      want: [FRAME_ROWS[lldp]?.name ?? ''],
      word: 'lost',
    },
    {
      name: 'a doubled frame',
      received: SENT.toSpliced(lldp, 0, SENT[lldp] ?? new Uint8Array()),
      want: [FRAME_ROWS[lldp]?.name ?? ''],
      word: '2 times',
    },
    {
      name: 'an altered frame',
      received: SENT.with(lldp, fromHex('ffffffffffff')),
      want: [FRAME_ROWS[lldp]?.name ?? '', 'nothing else arrives'],
      word: 'lost',
    },
    {
      name: 'swapped frames',
      received: SENT.with(lldp, SENT[lldp + 1] ?? new Uint8Array()).with(
        lldp + 1,
        SENT[lldp] ?? new Uint8Array(),
      ),
      want: [FRAME_ROWS[lldp + 1]?.name ?? ''],
      word: 'out of order',
    },
    {
      name: 'a frame nobody sent',
      received: [...SENT, fillPayload(60, 99)],
      want: ['nothing else arrives'],
      word: '60 bytes',
    },
  ]
  for (const { name, received, want, word } of faults)
    it(`notices ${name}`, () => {
      const verdicts = judge(FRAME_ROWS, ENDS, received)
      expect(listLost(verdicts)).to.deep.equal(want)
      expect(verdicts.map(({ fault }) => fault).join()).to.include(word)
    })
})

describe('judge() with an MTU', () => {
  it('does not blame the cable for what a NIC has no room for', () => {
    const short = SENT.filter((frame) => frame.length <= 1514)
    const verdicts = judge(FRAME_ROWS, ENDS, short, 1500)
    const names = verdicts.filter(({ outcome }) => outcome === 'too long').map(({ name }) => name)
    expect(names).to.deep.equal(['1518 bytes', '1522 bytes', '9014 bytes'])
    expect(verdicts.filter(({ outcome }) => outcome === 'lost')).to.deep.equal([])
    expect(verdicts.find(({ name }) => name === '1518 bytes')?.fault).to.include(
      'MTU of a NIC is 1500',
    )
  })
  it('is content where a frame arrived all the same', () => {
    expect(listLost(judge(FRAME_ROWS, ENDS, SENT, 1500))).to.deep.equal([])
  })
})

describe('toSilenceVerdict()', () => {
  it('says so when the far end itself spoke', () => {
    const [frame = new Uint8Array()] = SENT
    expect(toSilenceVerdict(IDLE_WIRE, [frame], ENDS.sender).fault).to.include('switch IPv6 off')
    expect(toSilenceVerdict(IDLE_WIRE, [frame], ENDS.receiver).fault).to.not.include('IPv6')
  })
})

describe('renderVerdicts()', () => {
  it('has a row per class and a column per direction, and tells what went wrong', () => {
    const text = renderVerdicts([
      { title: 'A > B', verdicts: judge(FRAME_ROWS, ENDS, SENT) },
      {
        title: 'B > A',
        verdicts: [toSilenceVerdict(IDLE_WIRE, [concatBytes(fillPayload(60, 1))])],
      },
    ])
    expect(text).to.match(/^frame class +A > B +B > A$/m)
    expect(text).to.match(/LLDP +delivered +-$/m)
    expect(text).to.match(/^idle wire is silent +- +EXTRA$/m)
    expect(text).to.match(/^B > A: idle wire is silent: 60 bytes/m)
  })
})
