import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import type { ObservedLink } from '../../../core/observe/links.ts'
import { getOurKind, parseTable } from '../../../core/observe/node.ts'
import { newLink } from '../samples.ts'

const A = 'lw00000000000aa'
const TUNNEL = 'lx00000000000cc'
const ALIAS = 'l2wire lab/r1-h1 vm/r1 pod0123456789a'
const HOST_END = newLink(A, { alias: ALIAS, kind: 'veth' })
const VXLAN = newLink(TUNNEL, { alias: 'l2wire lab/w vni 4096', kind: 'vxlan' })

describe('getOurKind()', () => {
  it('knows a host end and a tunnel', () => {
    expect(getOurKind(HOST_END)).to.equal('host-end')
    expect(getOurKind(VXLAN)).to.equal('tunnel')
  })

  const foreign: readonly (readonly [string, ObservedLink])[] = [
    ['a name like ours without our alias', { ...HOST_END, alias: '' }],
    ['an alias of somebody else', { ...HOST_END, alias: 'l2wired elsewhere' }],
    ['our alias on a name of somebody else', { ...HOST_END, name: 'lwfoo' }],
    ['a name with digits that are none', { ...HOST_END, name: 'lw00000000000zz' }],
    ['a bridge', { ...HOST_END, kind: 'bridge' }],
    ['a device without a kind', { ...HOST_END, kind: '' }],
    ["a veth with a tunnel's name", { ...HOST_END, name: TUNNEL }],
    ["a VXLAN device with a host end's name", { ...VXLAN, name: A }],
  ]
  for (const [what, link] of foreign)
    it(`does not claim ${what}`, () => {
      expect(getOurKind(link)).to.equal(undefined)
    })
})

const set = (name: string, elem?: readonly object[]): object => ({
  set: {
    family: 'inet',
    name,
    table: 'l2wire',
    handle: 1,
    ...(elem === undefined ? {} : { elem }),
  },
})
const rule = (...expr: readonly object[]): object => ({
  rule: { family: 'inet', table: 'l2wire', chain: 'input', handle: 4, expr },
})
const FORWARD = [4, 6].map((family) => ({
  rule: {
    family: 'inet',
    table: 'l2wire',
    chain: 'forward',
    expr: [{ match: { right: `@peers${family}` } }, { counter: { packets: 0 } }, { drop: null }],
  },
}))
const RULES = [
  rule({ match: { op: '==', right: '@peers4' } }, { accept: null }),
  rule({ match: { op: '==', right: '@peers6' } }, { accept: null }),
  rule({ match: { op: '==', right: 14789 } }, { counter: { packets: 0 } }, { drop: null }),
  ...FORWARD,
]
const toJson = (...objects: readonly object[]): string =>
  JSON.stringify({ nftables: [{ metainfo: {} }, { table: { name: 'l2wire' } }, ...objects] })

describe('parseTable()', () => {
  it('reads the peers of both families', () => {
    const four = [{ concat: ['192.0.2.2', 4096] }, { concat: ['192.0.2.3', 16_777_215] }]
    const json = toJson(
      set('peers4', four),
      set('peers6', [{ concat: ['2001:db8::2', 4097] }]),
      ...RULES,
    )
    const { peers, hasTable } = parseTable(json)
    expect([...peers]).to.deep.equal(['192.0.2.2 4096', '192.0.2.3 16777215', '2001:db8::2 4097'])
    expect(hasTable).to.equal(true)
  })

  it('reads a table without peers', () => {
    expect(parseTable(toJson(set('peers4'), set('peers6'), ...RULES))).to.deep.equal({
      peers: new Set(),
      hasTable: true,
      checksPath: false,
      hops: new Set(),
    })
  })

  it('sees whether forged senders are dropped', () => {
    const forged = rule({ match: {} }, { counter: { packets: 0 } }, { drop: null })
    const table = parseTable(toJson(set('peers4'), set('peers6'), forged, forged, ...RULES))
    expect([table.hasTable, table.checksPath]).to.deep.equal([true, true])
    const half = parseTable(toJson(set('peers4'), set('peers6'), forged, ...RULES))
    expect([half.hasTable, half.checksPath]).to.deep.equal([false, false])
  })

  const broken: readonly (readonly [string, readonly object[]])[] = [
    ['without rules', []],
    ['that lets in anybody', [...RULES.slice(0, 2), ...FORWARD]],
    ['that lets in no peer of IPv4', RULES.slice(1)],
    ['whose first word is no', [...RULES].reverse()],
    ["that lets pods' datagrams out to peers", RULES.slice(0, 3)],
    ["that lets pods' datagrams out to peers of IPv6", RULES.slice(0, 4)],
  ]
  for (const [what, rules] of broken)
    it(`takes a table ${what} for none`, () => {
      expect(parseTable(toJson(set('peers4'), set('peers6'), ...rules)).hasTable).to.equal(false)
    })

  it('refuses what is no list', () => {
    expect(() => parseTable('{}')).to.throw(DecodeError)
  })
})
