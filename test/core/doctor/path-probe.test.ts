import { expect } from 'chai'
import { describe, it } from 'mocha'

import { encodeProbe, readRecord, renderRecorder } from '../../../core/doctor/path-probe.ts'

describe('encodeProbe()', () => {
  const probe = encodeProbe('192.0.2.2', 1500, 0x123456, 0xdeadbeef)

  it('fills an IP packet of that length', () => {
    expect(probe.length).to.equal(1500 - 20 - 8)
    expect(encodeProbe('2001:db8::2', 1500, 1, 1).length).to.equal(1500 - 40 - 8)
  })

  it('has the VNI where VXLAN has it, and not its flag that there is one (RFC 7348, 5)', () => {
    expect(Buffer.from(probe.subarray(0, 8)).toString('hex')).to.equal('0000000012345600')
  })

  it('says whose it is', () => {
    expect(Buffer.from(probe.subarray(8, 12)).toString('hex')).to.equal('deadbeef')
  })
})

describe('renderRecorder()', () => {
  it('notes in a table of its own, before and behind all filters, and drops nothing', () => {
    const text = renderRecorder('t', 14789, [7, 8])
    for (const line of text.trim().split('\n'))
      expect(line).to.match(/^add (table|set|chain|rule) inet t\b/)
    expect(text).to.include('prerouting priority -450').and.include('input priority 300')
    expect(text).to.not.match(/\b(drop|reject|policy drop)\b/)
    for (const token of [7, 8])
      expect(
        text.match(new RegExp(`udp dport 14789 @th,64,32 0 @th,128,32 ${token} `, 'g')),
      ).to.have.length(2)
  })
})

const set = (name: string, ...elem: readonly unknown[]): object => ({
  set: { name, ...(elem.length === 0 ? {} : { elem }) },
})

describe('readRecord()', () => {
  const json = JSON.stringify({
    nftables: [
      { metainfo: {} },
      set('whole7', 128, 1500),
      set('delivered7', 128, 1500, 3000),
      set('whole8', 128),
      set('delivered8'),
    ],
  })

  it('reads what came whole and what got through, of each way', () => {
    expect(readRecord(json, 7)).to.deep.equal({ whole: [128, 1500], delivered: [128, 1500, 3000] })
    expect(readRecord(json, 8)).to.deep.equal({ whole: [128], delivered: [] })
    expect(readRecord(json, 9)).to.deep.equal({ whole: [], delivered: [] })
  })

  it('passes over what is no length', () => {
    const odd = JSON.stringify({ nftables: [set('whole7', '1500', { elem: 1500 }, null, 128)] })
    expect(readRecord(odd, 7).whole).to.deep.equal([128])
  })

  it('refuses what is none', () => {
    expect(() => readRecord('{}', 7)).to.throw('nft -j list table')
  })
})
