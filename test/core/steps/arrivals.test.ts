import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import {
  diffCounters,
  isCounted,
  parseCounters,
  renderCounting,
} from '../../../core/steps/arrivals.ts'

const A = { address: '192.0.2.2', vni: 4096, guest: 'lw00000000000aa' }
const B = { address: '2001:db8::2', vni: 4097, guest: 'lw00000000000bb' }

describe('renderCounting()', () => {
  it('puts a new guest in the place of the one before, by its family', () => {
    const lines = renderCounting(14_789, [{ ...A, guest: 'lw00000000000cc' }, B], [A])
    expect(lines.slice(-3)).to.deep.equal([
      'delete element inet l2wire-arrivals peers4 { 192.0.2.2 . 4096 }',
      'add element inet l2wire-arrivals peers4 { 192.0.2.2 . 4096 comment "lw00000000000cc" }',
      'add element inet l2wire-arrivals peers6 { 2001:db8::2 . 4097 comment "lw00000000000bb" }',
    ])
  })

  it('counts announcements alone', () => {
    const rules = renderCounting(14_789, [A], []).filter((line) => line.startsWith('add rule'))
    expect(rules).to.have.length(2)
    for (const rule of rules) expect(rule).to.include(' @th,224,16 0x8035 ')
  })
})

describe('parseCounters()', () => {
  it('reads what nft 1.0.6 prints', () => {
    const elem = [
      {
        elem: {
          val: { concat: ['192.0.2.2', 4096] },
          comment: 'lw00000000000aa',
          counter: { packets: 3, bytes: 96 },
        },
      },
    ]
    const six = [{ elem: { val: { concat: ['2001:db8::2', 4097] } } }]
    const json = JSON.stringify({
      nftables: [
        { metainfo: {} },
        { set: { name: 'peers4', elem } },
        { set: { name: 'peers6', elem: six } },
        { set: { name: 'peers6' } },
      ],
    })
    expect(parseCounters(json)).to.deep.equal([
      { ...A, datagrams: 3 },
      { ...B, guest: '', datagrams: 0 },
    ])
  })

  it('refuses what is no list', () => {
    expect(() => parseCounters('{}')).to.throw(DecodeError)
  })
})

describe('diffCounters()', () => {
  it('makes what is missing and removes what nobody waits for', () => {
    expect(diffCounters([A, B], [])).to.deep.equal({ made: [A, B], gone: [] })
    expect(diffCounters([A], [A, B])).to.deep.equal({ made: [], gone: [B] })
  })

  it('counts anew for another guest from the same node', () => {
    const next = { ...A, guest: 'lw00000000000cc' }
    expect(diffCounters([next], [A])).to.deep.equal({ made: [next], gone: [A] })
    expect(isCounted(next, [{ ...A, datagrams: 3 }])).to.equal(false)
  })
})

describe('isCounted()', () => {
  it('is so from the first datagram on', () => {
    expect(isCounted(A, [{ ...A, datagrams: 0 }])).to.equal(false)
    expect(isCounted(A, [{ ...A, datagrams: 1 }])).to.equal(true)
    expect(isCounted(A, [])).to.equal(false)
  })
})
