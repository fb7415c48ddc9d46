import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { parseNetnsAnswer, type NetnsQuestions } from '../../../core/observe/netns.ts'

const LINKS = JSON.stringify([
  {
    ifname: 'tap0',
    mtu: 1450,
    flags: ['UP', 'NOARP'],
    qdisc: 'noqueue',
    inet6_addr_gen_mode: 'none',
    ifalias: 'tc',
  },
])
const ADDRESSES = JSON.stringify([
  { ifname: 'lws0', addr_info: [{ local: '169.254.75.10', prefixlen: 32 }] },
])
const NEIGHBOURS = JSON.stringify([
  { dev: 'lws0', dst: 'fe80::1', lladdr: '02:00:00:00:00:01', state: ['PERMANENT'] },
])
const toRule = (address: string, last: object = { accept: null }): object => ({
  rule: {
    expr: [
      {
        match: { op: '==', left: { payload: { protocol: 'ip', field: 'daddr' } }, right: address },
      },
      { mangle: { key: { meta: { key: 'pkttype' } }, value: 'host' } },
      last,
    ],
  },
})
const toTable = (chain: object, ...rules: readonly object[]): string =>
  JSON.stringify({ nftables: [{ metainfo: {} }, { chain }, ...rules] })
const CHAIN = { hook: 'ingress', policy: 'drop' }

const QUESTIONS: NetnsQuestions = {
  hooks: [
    { dev: 'eth0', hook: 'egress' },
    { dev: 'lwp0', hook: 'ingress' },
  ],
  server: 'lws0',
  sysctls: ['a', 'b'],
}

const SECRET = 'S '

function answer(parts: {
  readonly tc?: readonly string[]
  readonly missing?: readonly string[]
  readonly nft?: string
  readonly ethtool?: readonly string[]
  readonly sysctls?: readonly string[]
}): string {
  const { tc = ['[]', '[]'], missing = [''], nft = '', ethtool = [], sysctls = [] } = parts
  return [
    `${SECRET}ip`,
    LINKS,
    ADDRESSES,
    NEIGHBOURS,
    `${SECRET}tc`,
    ...tc,
    `${SECRET}missing`,
    ...missing,
    `${SECRET}nft`,
    nft,
    `${SECRET}ethtool`,
    ...ethtool,
    `${SECRET}sysctl`,
    ...sysctls,
    '',
  ].join('\n')
}

const turned = (...expr: readonly object[]): object => ({ rule: { chain: 'confirm', expr } })
const readHeard = (rule: object): readonly string[] | null => {
  const chains = [toRule('10.0.0.1'), { chain: { name: 'confirm', hook: 'ingress' } }, rule]
  const nft = toTable({ name: 'input', ...CHAIN }, ...chains)
  return parseNetnsAnswer(answer({ nft }), SECRET, QUESTIONS).heard
}

describe('parseNetnsAnswer()', () => {
  it('tells where what a client would rebind is turned', () => {
    const [port, type] = [{ mangle: { value: 1058 } }, { mangle: { value: 4 } }]
    const sent = { fwd: { dev: 'lwp0' } }
    expect(readHeard(turned(port, type, sent))).to.deep.equal(['10.0.0.1', 'confirm lwp0'])
    expect(readHeard(turned(port, sent))).to.deep.equal(['10.0.0.1', '?'])
    expect(readHeard(turned(port, type))).to.deep.equal(['10.0.0.1', '?'])
  })

  it('tells whether the server leaves work to others', () => {
    const features = ['Features for lws0:', 'rx-checksumming: on', 'tx-checksumming: off']
    const read = (...more: readonly string[]): boolean | undefined =>
      parseNetnsAnswer(answer({ ethtool: [...features, ...more] }), SECRET, QUESTIONS).offloads.get(
        'lws0',
      )
    expect(read('\ttx-checksum-ip-generic: off')).to.equal(false)
    expect(read('\ttx-udp-segmentation: on')).to.equal(true)
    expect(read('generic-segmentation-offload: on')).to.equal(true)
    expect(parseNetnsAnswer(answer({}), SECRET, QUESTIONS).offloads).to.deep.equal(new Map())
  })

  it('tells links, addresses and neighbours', () => {
    const seen = parseNetnsAnswer(answer({ sysctls: ['1000000', '2'] }), SECRET, QUESTIONS)
    expect(seen.links.get('tap0')).to.deep.include({
      mtuBytes: 1450,
      isUp: true,
      flags: new Set(['UP', 'NOARP']),
      qdisc: 'noqueue',
      genMode: 'none',
      alias: 'tc',
    })
    expect([...seen.links.keys()]).to.deep.equal(['tap0'])
    expect(seen.addresses.get('lws0')).to.deep.equal(['169.254.75.10/32'])
    expect([...seen.neighbours]).to.deep.equal(['lws0 fe80::1 02:00:00:00:00:01'])
    expect(seen.sysctls).to.deep.equal(['1000000', '2'])
    expect(seen.heard).to.equal(null)
  })

  it('tells filters by their hook, also behind a device that is missing', () => {
    const filter = { protocol: 'all', pref: 3, kind: 'basic', chain: 0, options: { handle: '0x1' } }
    const tc = [JSON.stringify([filter, { ...filter, chain: 1 }])]
    const missing = ['Cannot find device "eth0"', 'Command failed -:1']
    const { filters } = parseNetnsAnswer(answer({ tc, missing }), SECRET, QUESTIONS)
    expect([...filters.keys()]).to.deep.equal(['lwp0 ingress'])
    expect(filters.get('lwp0 ingress')).to.deep.equal([
      { place: 3, protocol: 'all', kind: 'basic', handle: '1', does: '' },
    ])
  })

  it('takes no word of whose devices they are for the beginning of the next answer', () => {
    const forged = answer({ sysctls: ['1', 'tc', 'nft', '{"nftables":[]}'] })
    expect(parseNetnsAnswer(forged, SECRET, QUESTIONS).sysctls).to.have.lengthOf(4)
  })

  for (const [name, nft, want] of [
    ['what cannot be read, which is not as made', '{"nftables":', ['?']],
    ['as made', toTable(CHAIN, toRule('10.0.0.1'), toRule('ff02::2')), ['10.0.0.1', 'ff02::2']],
    ['a policy that lets pass', toTable({ ...CHAIN, policy: 'accept' }, toRule('::1')), null],
    ['no chain', JSON.stringify({ nftables: [] }), null],
    ['a rule that does otherwise', toTable(CHAIN, toRule('10.0.0.1', { drop: null })), ['?']],
  ] as const)
    it(`tells what the server hears: ${name}`, () => {
      expect(parseNetnsAnswer(answer({ nft }), SECRET, QUESTIONS).heard).to.deep.equal(want)
    })

  it('refuses what does not answer its questions', () => {
    expect(() => parseNetnsAnswer(answer({ tc: ['[]'] }), SECRET, QUESTIONS)).to.throw(DecodeError)
    expect(() => parseNetnsAnswer('S ip\n[]\n', SECRET, QUESTIONS)).to.throw(DecodeError)
  })
})
