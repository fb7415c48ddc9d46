import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  encodeProbe,
  listRungs,
  listStaleEars,
  parseEars,
  renderEars,
  toEarsTable,
} from '../../core/path-probe.ts'
import { decodeProberAnswer, decodeProberRequest } from '../../core/prober-line.ts'

describe('encodeProbe()', () => {
  const probe = encodeProbe('192.0.2.2', 1500, 0xdeadbeef, 0x123456)

  it('fills an IP packet of that length', () => {
    expect(probe.length).to.equal(1500 - 20 - 8)
    expect(encodeProbe('2001:db8::2', 1500, 1, 1).length).to.equal(1500 - 40 - 8)
  })

  it('has the VNI where VXLAN has it, and not its flag that there is one (RFC 7348, 5)', () => {
    expect(Buffer.from(probe.subarray(4, 8)).toString('hex')).to.equal('12345600')
    expect((probe[0] ?? 0) & 0x08).to.equal(0)
  })

  it('says whose it is', () => {
    expect(Buffer.from(probe.subarray(8, 12)).toString('hex')).to.equal('deadbeef')
  })
})

describe('renderEars()', () => {
  it('notes in a table of its own, before and behind all filters, and drops nothing', () => {
    const lines = renderEars('t', { port: 14789, token: 7 })
    const text = lines.join('\n')
    for (const line of lines) expect(line).to.match(/^add (table|set|chain|rule) inet t\b/)
    expect(text).to.include('prerouting priority -450').and.include('input priority 300')
    expect(text).to.not.match(/\b(drop|reject|policy drop)\b/)
    expect(text.match(/udp dport 14789 @th,64,32 1363948119 @th,128,32 7 /g)).to.have.length(4)
  })
})

const set = (name: string, ...elem: readonly (readonly [string, number])[]): object => ({
  set: { name, ...(elem.length === 0 ? {} : { elem: elem.map((concat) => ({ concat })) }) },
})

describe('parseEars()', () => {
  it('reads what came whole and what got through, with the headers that IP adds', () => {
    const json = JSON.stringify({
      nftables: [
        { metainfo: {} },
        set('whole4', ['192.0.2.1', 108]),
        set('whole6', ['2001:db8::1', 1460]),
        set('delivered4', ['192.0.2.1', 2980]),
        set('delivered6'),
      ],
    })
    expect(parseEars(json)).to.deep.equal({
      whole: [
        { address: '192.0.2.1', bytes: 128 },
        { address: '2001:db8::1', bytes: 1500 },
      ],
      delivered: [{ address: '192.0.2.1', bytes: 3000 }],
    })
  })

  it('refuses what is none', () => {
    expect(() => parseEars('{}')).to.throw('nft -j list table')
  })
})

describe('listStaleEars()', () => {
  it('names tables whose maker was killed long ago, and nobody else’s', () => {
    const now = 1_800_000_000_000
    const names = [
      toEarsTable(1, now),
      toEarsTable(2, now - 599_000),
      toEarsTable(3, now - 700_000),
      'l2wire',
      'firewalld',
    ]
    const nftables = [{ metainfo: {} }, ...names.map((name) => ({ table: { name } }))]
    expect(listStaleEars(JSON.stringify({ nftables }), now)).to.deep.equal([names[2]])
  })
})

const find = (mtuBytes: number, linkMtuBytes: number): { found: number; rounds: number } => {
  let [reached, failed, rounds] = [128, linkMtuBytes, 0]
  for (; failed - reached > 1; rounds += 1) {
    const rungs = listRungs(reached, failed)
    expect(rungs.every((size) => size > reached && size < failed)).to.equal(true)
    expect(new Set(rungs).size).to.equal(rungs.length)
    const through = rungs.filter((size) => size <= mtuBytes)
    failed = Math.min(failed, ...rungs.filter((size) => size > mtuBytes))
    reached = Math.max(reached, ...through)
  }
  return { found: reached, rounds }
}

describe('listRungs()', () => {
  for (const [mtuBytes, linkMtuBytes] of [
    [1400, 1500],
    [1499, 1500],
    [128, 1500],
    [576, 9000],
    [1500, 65_000],
  ] as const)
    it(`finds ${mtuBytes} below ${linkMtuBytes} within four rounds`, () => {
      const { found, rounds } = find(mtuBytes, linkMtuBytes)
      expect(found).to.equal(mtuBytes)
      expect(rounds).to.be.at.most(4)
    })
})

describe('lines between doctor and prober', () => {
  const requests: readonly object[] = [
    { op: 'listen', port: 14789, token: 7 },
    { op: 'mtu', address: '192.0.2.1' },
    { op: 'send', port: 1, token: 2, from: 'a', to: 'b', vni: 3, sizes: [128] },
    { op: 'heard' },
  ]
  for (const request of requests)
    it(`reads ${JSON.stringify(request)}`, () => {
      expect(decodeProberRequest(JSON.stringify(request))).to.deep.equal(request)
    })

  const refusals = [
    { line: 'x', word: 'request' },
    { line: '{"op":"juggle"}', word: 'listen, mtu, send, heard' },
    { line: '{"op":"listen","port":1}', word: 'token' },
    {
      line: '{"op":"send","port":1,"token":2,"from":"a","to":"b","vni":3,"sizes":["x"]}',
      word: 'sizes',
    },
  ]
  for (const { line, word } of refusals)
    it(`refuses ${line}`, () => {
      expect(() => decodeProberRequest(line)).to.throw(word)
    })

  it('reads answers, and refuses what is none', () => {
    const answer = { ok: true, heard: { whole: [], delivered: [] } }
    expect(decodeProberAnswer(JSON.stringify(answer))).to.deep.equal(answer)
    expect(decodeProberAnswer('{"ok":false,"fault":"no"}')).to.deep.equal({
      ok: false,
      fault: 'no',
    })
    for (const line of ['{}', '{"ok":false}', '{"ok":true,"heard":{}}'])
      expect(() => decodeProberAnswer(line)).to.throw('Cannot decode')
  })
})
