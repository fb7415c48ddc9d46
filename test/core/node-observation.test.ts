import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import {
  findMissingDevices,
  parseFilterAnswers,
  parseOurLinks,
  parseTable,
  renderFilterQueries,
} from '../../core/node-observation.ts'

const A = 'lw00000000000aa'
const B = 'lw00000000000bb'
const TUNNEL = 'lx00000000000cc'

// As iproute2 6.1 prints them, less what is not read.
const HOST_END = {
  ifindex: 12,
  link_index: 2,
  ifname: A,
  flags: ['NO-CARRIER', 'BROADCAST', 'UP'],
  mtu: 9216,
  qdisc: 'noqueue',
  address: '36:d9:c6:5e:f2:0e',
  link_netnsid: 7,
  linkinfo: { info_kind: 'veth' },
  ifalias: 'l2wire lab/r1-h1 vm/r1 pod0123456789a',
}
const VXLAN = {
  ifindex: 5,
  ifname: TUNNEL,
  flags: ['BROADCAST', 'NOARP', 'UP', 'LOWER_UP'],
  mtu: 9216,
  linkinfo: {
    info_kind: 'vxlan',
    info_data: {
      id: 4096,
      remote6: '2001:db8::2',
      local6: '2001:db8::1',
      port_range: { low: 0, high: 0 },
      port: 14789,
      learning: false,
    },
  },
  ifalias: 'l2wire lab/w vni 4096 port 14789 local 2001:db8::1 remote 2001:db8::2',
}

function parse(...links: readonly object[]): ReturnType<typeof parseOurLinks> {
  return parseOurLinks(JSON.stringify([{}, ...links]))
}

describe('parseOurLinks()', () => {
  it('reads a host end', () => {
    expect(parse(HOST_END).get(A)).to.deep.equal({
      ifindex: 12,
      isUp: true,
      hasCarrier: false,
      mtuBytes: 9216,
      alias: 'l2wire lab/r1-h1 vm/r1 pod0123456789a',
      kind: 'host-end',
      peer: { ifindex: 2, nsid: 7 },
      vxlan: null,
    })
  })

  it('reads a tunnel', () => {
    expect(parse(VXLAN).get(TUNNEL)).to.deep.equal({
      ifindex: 5,
      isUp: true,
      hasCarrier: true,
      mtuBytes: 9216,
      alias: VXLAN.ifalias,
      kind: 'tunnel',
      vxlan: { vni: 4096, local: '2001:db8::1', remote: '2001:db8::2', port: 14789 },
    })
  })

  const { link_index: _index, link_netnsid: _nsid, ...near } = HOST_END
  const peers: readonly (readonly [string, object, object | undefined])[] = [
    ['in its own namespace', { ...near, link: 'p' }, { ifindex: 9, nsid: undefined }],
    ['that is gone', { ...near, link: null }, undefined],
    ['that has no name', near, undefined],
    [
      'in a namespace without a number',
      { ...HOST_END, link_netnsid: -1 },
      { ifindex: 2, nsid: undefined },
    ],
  ]
  for (const [what, link, peer] of peers)
    it(`reads a host end with a peer ${what}`, () => {
      const links = parse(link, { ifindex: 9, ifname: 'p', linkinfo: { info_kind: 'veth' } })
      expect(links.get(A)?.peer).to.deep.equal(peer)
    })

  const foreign: readonly (readonly [string, object])[] = [
    ['a name like ours without our alias', { ...HOST_END, ifalias: undefined }],
    ['an alias of somebody else', { ...HOST_END, ifalias: 'l2wired elsewhere' }],
    ['our alias on a name of somebody else', { ...HOST_END, ifname: 'lwfoo' }],
    ['a name with digits that are none', { ...HOST_END, ifname: 'lw00000000000zz' }],
    ['a bridge', { ...HOST_END, linkinfo: { info_kind: 'bridge' } }],
    ['a device without a kind', { ...HOST_END, linkinfo: undefined }],
    ["a veth with a tunnel's name", { ...HOST_END, ifname: TUNNEL }],
    ["a VXLAN device with a host end's name", { ...VXLAN, ifname: A }],
  ]
  for (const [what, link] of foreign)
    it(`does not claim ${what}`, () => {
      expect(parse(link).size).to.equal(0)
    })

  it('reads a namespace that has nothing', () => {
    expect(parseOurLinks('').size).to.equal(0)
    expect(() => parseOurLinks('{}')).to.throw(DecodeError)
  })
})

const TO_B =
  '[{"protocol":"all","pref":1,"kind":"bpf","chain":0},{"protocol":"all","pref":1,"kind":"bpf","chain":0,' +
  '"options":{"handle":"0x1","not_in_hw":true,"bytecode":{"length":1,"insns":[{"code":6,"jt":0,"jf":0,"k":4294967295}]},' +
  `"actions":[{"order":1,"kind":"mirred","mirred_action":"redirect","direction":"egress","to_dev":"${B}",` +
  '"control_action":{"type":"stolen"},"index":1,"ref":1,"bind":1}]}}]\n'

describe('filters of many devices', () => {
  it('are asked for in a line each', () => {
    expect(renderFilterQueries([A, B])).to.equal(
      `filter show dev ${A} ingress\nfilter show dev ${B} ingress\n`,
    )
  })

  it('are told apart by the order of the answers', () => {
    const answers = parseFilterAnswers(`[]\n${TO_B}${TO_B.replace(B, '*')}`, [B, A, TUNNEL])
    expect([...answers]).to.deep.equal([
      [B, []],
      [A, [B]],
      [TUNNEL, ['*']],
    ])
  })

  it('are refused when an answer is missing', () => {
    expect(() => parseFilterAnswers(TO_B, [A, B])).to.throw(DecodeError, 'each of 2')
  })

  it('of devices that are gone are found in the complaints', () => {
    const stderr = `Cannot find device "${A}"\nCommand failed -:1\nCannot find device "${B}"\nCommand failed -:7\n`
    expect(findMissingDevices(stderr)).to.deep.equal([A, B])
    expect(findMissingDevices('RTNETLINK answers: Operation not permitted\n')).to.deep.equal([])
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
const RULES = [
  rule({ match: { op: '==', right: '@peers4' } }, { accept: null }),
  rule({ match: { op: '==', right: '@peers6' } }, { accept: null }),
  rule({ match: { op: '==', right: 14789 } }, { counter: { packets: 0 } }, { drop: null }),
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
    })
  })

  const broken: readonly (readonly [string, readonly object[]])[] = [
    ['without rules', []],
    ['that lets in anybody', RULES.slice(0, 2)],
    ['that lets in no peer of IPv4', RULES.slice(1)],
    ['whose first word is no', [...RULES].reverse()],
  ]
  for (const [what, rules] of broken)
    it(`takes a table ${what} for none`, () => {
      expect(parseTable(toJson(set('peers4'), set('peers6'), ...rules)).hasTable).to.equal(false)
    })

  it('refuses what is no list', () => {
    expect(() => parseTable('{}')).to.throw(DecodeError)
  })
})
