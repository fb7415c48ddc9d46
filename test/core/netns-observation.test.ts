import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { parseNetnsAnswer, type NetnsQuestions } from '../../core/netns-observation.ts'

const LINKS = JSON.stringify([
  {
    ifname: 'tap0',
    mtu: 1450,
    flags: ['UP', 'NOARP'],
    qdisc: 'noqueue',
    inet6_addr_gen_mode: 'none',
    ifalias: '#tc',
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

function answer(parts: {
  readonly tc?: readonly string[]
  readonly missing?: readonly string[]
  readonly nft?: string
  readonly sysctls?: readonly string[]
}): string {
  const { tc = ['[]', '[]'], missing = [''], nft = '', sysctls = [] } = parts
  return [
    '#ip',
    LINKS,
    ADDRESSES,
    NEIGHBOURS,
    '#tc',
    ...tc,
    '#missing',
    ...missing,
    '#nft',
    nft,
    '#sysctl',
    ...sysctls,
    '',
  ].join('\n')
}

describe('parseNetnsAnswer()', () => {
  it('tells links, addresses and neighbours', () => {
    const seen = parseNetnsAnswer(answer({ sysctls: ['1000000', '2'] }), QUESTIONS)
    expect(seen.links.get('tap0')).to.deep.equal({
      mtuBytes: 1450,
      flags: new Set(['UP', 'NOARP']),
      qdisc: 'noqueue',
      genMode: 'none',
      alias: '#tc',
    })
    expect(seen.podLinks.map(({ name }) => name)).to.deep.equal(['tap0'])
    expect(seen.addresses.get('lws0')).to.deep.equal(['169.254.75.10/32'])
    expect([...seen.neighbours]).to.deep.equal(['lws0 fe80::1 02:00:00:00:00:01'])
    expect(seen.sysctls).to.deep.equal(['1000000', '2'])
    expect(seen.heard).to.equal(undefined)
  })

  it('tells filters by their hook, also behind a device that is missing', () => {
    const filter = { protocol: 'all', pref: 3, kind: 'basic', chain: 0, options: { handle: '0x1' } }
    const tc = [JSON.stringify([filter, { ...filter, chain: 1 }])]
    const missing = ['Cannot find device "eth0"', 'Command failed -:1']
    const { filters } = parseNetnsAnswer(answer({ tc, missing }), QUESTIONS)
    expect([...filters.keys()]).to.deep.equal(['lwp0 ingress'])
    expect(filters.get('lwp0 ingress')).to.deep.equal([
      { place: 3, protocol: 'all', kind: 'basic', handle: '1', does: '' },
    ])
  })

  for (const [name, nft, want] of [
    ['as made', toTable(CHAIN, toRule('10.0.0.1'), toRule('ff02::2')), ['10.0.0.1', 'ff02::2']],
    ['a policy that lets pass', toTable({ ...CHAIN, policy: 'accept' }, toRule('::1')), undefined],
    ['no chain', JSON.stringify({ nftables: [] }), undefined],
    ['a rule that does otherwise', toTable(CHAIN, toRule('10.0.0.1', { drop: null })), ['?']],
  ] as const)
    it(`tells what the server hears: ${name}`, () => {
      expect(parseNetnsAnswer(answer({ nft }), QUESTIONS).heard).to.deep.equal(want)
    })

  it('refuses what does not answer its questions', () => {
    expect(() => parseNetnsAnswer(answer({ tc: ['[]'] }), QUESTIONS)).to.throw(DecodeError)
    expect(() => parseNetnsAnswer('#ip\n[]\n', QUESTIONS)).to.throw(DecodeError)
  })
})
