import { expect } from 'chai'
import { array, assert, property, uint8Array } from 'fast-check'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { decodePcap, encodePcap } from '../../../core/tester/pcap.ts'

const FRAME = Uint8Array.of(1, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 8)

/** A capture as another machine would have written it: one record holding FRAME. */
function newCapture(facts: {
  magic: number
  littleEndian: boolean
  linkType?: number
  captured?: number
  original?: number
}): Uint8Array {
  const bytes = new Uint8Array(40 + FRAME.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, facts.magic, facts.littleEndian)
  view.setUint16(4, 2, facts.littleEndian)
  view.setUint16(6, 4, facts.littleEndian)
  view.setUint32(16, 65_535, facts.littleEndian)
  view.setUint32(20, facts.linkType ?? 1, facts.littleEndian)
  view.setUint32(32, facts.captured ?? FRAME.length, facts.littleEndian)
  view.setUint32(36, facts.original ?? FRAME.length, facts.littleEndian)
  bytes.set(FRAME, 40)
  return bytes
}

describe('encodePcap()', () => {
  it('writes what libpcap calls "microseconds, little endian, Ethernet"', () => {
    const header = Buffer.from(encodePcap([])).toString('hex')
    expect(header).to.equal('d4c3b2a10200040000000000000000000000040001000000')
  })

  it('writes a record per frame, stamped in order', () => {
    const bytes = Buffer.from(encodePcap([FRAME, FRAME]))
    const record = (microseconds: string) =>
      `00000000${microseconds}0e0000000e000000${Buffer.from(FRAME).toString('hex')}`
    expect(bytes.subarray(24).toString('hex')).to.equal(record('00000000') + record('01000000'))
  })

  it('refuses a frame that no reader would take', () => {
    expect(() => encodePcap([new Uint8Array(262_145)])).to.throw(DecodeError, 'frames[0].length')
  })
})

describe('decodePcap()', () => {
  it('gives back what encodePcap() was given', () => {
    const frames = array(uint8Array({ maxLength: 9014 }), { maxLength: 20 })
    assert(
      property(frames, (sent) => {
        expect(decodePcap(encodePcap(sent))).to.deep.equal(sent)
      }),
    )
  })

  const readable = [
    { name: 'microseconds, little endian', magic: 0xa1b2c3d4, littleEndian: true },
    { name: 'microseconds, big endian', magic: 0xa1b2c3d4, littleEndian: false },
    { name: 'nanoseconds, little endian', magic: 0xa1b23c4d, littleEndian: true },
    { name: 'nanoseconds, big endian', magic: 0xa1b23c4d, littleEndian: false },
    {
      name: 'a link type with FCS flags above it',
      magic: 0xa1b2c3d4,
      littleEndian: true,
      linkType: 0x1400_0001,
    },
  ]
  for (const { name, ...facts } of readable) {
    it(`reads ${name}`, () => {
      expect(decodePcap(newCapture(facts))).to.deep.equal([FRAME])
    })
  }

  it('reads from the middle of a larger buffer', () => {
    const larger = Buffer.concat([Buffer.alloc(3), encodePcap([FRAME]), Buffer.alloc(3)])
    expect(decodePcap(larger.subarray(3, -3))).to.deep.equal([FRAME])
  })

  const ours = { magic: 0xa1b2c3d4, littleEndian: true }
  const damaged = [
    { name: 'an empty file', bytes: new Uint8Array(), path: 'pcap' },
    { name: 'text', bytes: Buffer.from('tcpdump: no such device exists'), path: 'pcap.magic' },
    {
      name: 'another link type',
      bytes: newCapture({ ...ours, linkType: 113 }),
      path: 'pcap.linktype',
    },
    { name: 'half a record header', bytes: newCapture(ours).subarray(0, 30) },
    { name: 'half a frame', bytes: newCapture(ours).subarray(0, 45) },
    { name: 'a frame cut by snaplen', bytes: newCapture({ ...ours, original: 1514 }) },
    {
      name: 'a length beyond the file',
      bytes: newCapture({ ...ours, captured: 0xffff_ffff, original: 0xffff_ffff }),
    },
  ]
  for (const { name, bytes, path = 'pcap.records[0]' } of damaged) {
    it(`refuses ${name}`, () => {
      expect(() => decodePcap(bytes))
        .to.throw(DecodeError)
        .with.property('path', path)
    })
  }

  it('never fails but with DecodeError', () => {
    assert(
      property(uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodePcap(Buffer.concat([encodePcap([]), bytes]))
        } catch (error) {
          expect(error).to.be.instanceOf(DecodeError)
        }
      }),
    )
  })
})
