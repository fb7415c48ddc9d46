import { expect } from 'chai'
import { describe, it } from 'mocha'

import { BIRTH_MTU, renderBatches } from '../../../core/steps/argv.ts'
import { toTunnelDeviceName } from '../../../core/name.ts'
import type { ObservedLinks } from '../../../core/observe/links.ts'
import type { Observation } from '../../../core/observe/observation.ts'
import { diff } from '../../../core/steps/diff.ts'
import type { Step } from '../../../core/steps/step.ts'
import {
  getOverheadBytes,
  listPeersBeside,
  listShutOut,
  toPeers,
  wantTunnel,
  type Tunnel,
} from '../../../core/wire/tunnel.ts'
import { decodeVniRange, listFreeVnis } from '../../../core/wire/vni.ts'
import { newObservation, type SampleLink } from '../samples.ts'

const TUNNEL: Tunnel = {
  device: 'lx1',
  wireKey: 'lab/w',
  vni: 7,
  local: '192.0.2.1',
  remote: '192.0.2.2',
  others: [],
  port: 14789,
  mtuBytes: 9216,
}
const ALIAS = 'l2wire lab/w vni 7 port 14789 local 192.0.2.1 remote 192.0.2.2'

function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, { classifier: 'bpf', hostNetns: 'x' }).flatMap(({ tool, lines }) =>
    lines.map((line) => `${tool} ${line}`),
  )
}

const VXLAN = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 }

function observe(more: Partial<SampleLink>): Observation {
  return newObservation([{ name: 'lx1', kind: 'vxlan', alias: ALIAS, vxlan: VXLAN, ...more }])
}

function renderGone(address: string, set: string, vni: number): readonly string[] {
  return [
    `nft add element inet l2wire ${set} { ${address} . ${vni} }`,
    `nft delete element inet l2wire ${set} { ${address} . ${vni} }`,
  ]
}

const listBeside = (vni: number, tunnels: ObservedLinks): readonly string[] => [
  ...listPeersBeside(
    tunnels,
    new Map([['lab/w', wantTunnel({ ...TUNNEL, vni, others: ['192.0.2.3'] })]]),
  ).keys(),
]

describe('listPeersBeside()', () => {
  const { links } = newObservation([
    { name: toTunnelDeviceName('lab/w'), kind: 'vxlan', vxlan: VXLAN },
  ])

  it('lists those who are wanted at a tunnel that is there', () => {
    expect(listBeside(7, links)).to.deep.equal(['192.0.2.2 7', '192.0.2.3 7'])
  })

  it("lists nobody at another wire's, where one of that VNI could not be made", () => {
    expect(listBeside(8, links)).to.deep.equal([])
    expect(listBeside(7, new Map())).to.deep.equal([])
  })
})

describe('listShutOut()', () => {
  const table = { peers: new Set(['192.0.2.2 7', '192.0.2.3 7', '192.0.2.3 9', '192.0.2.4 7']) }
  const render = (wanted: Tunnel): readonly string[] =>
    listShutOut(toPeers(table, 7), wantTunnel(wanted), '192.0.2.2').map(
      ({ op, address, vni }) => `${op} ${address} ${vni}`,
    )

  it('names who no longer is to be let in beside the remote, at this tunnel', () => {
    expect(render({ ...TUNNEL, others: ['192.0.2.4'] })).to.deep.equal(['forbid-peer 192.0.2.3 7'])
  })

  it('names all of them once the wire has another VNI', () => {
    expect(render({ ...TUNNEL, vni: 8, others: ['192.0.2.4'] })).to.deep.equal([
      'forbid-peer 192.0.2.3 7',
      'forbid-peer 192.0.2.4 7',
    ])
  })
})

describe('wantTunnel()', () => {
  const allow = 'nft add element inet l2wire peers4 { 192.0.2.2 . 7 }'
  const fresh = [
    `ip link add name lx1 mtu ${BIRTH_MTU} type vxlan id 7 local 192.0.2.1 remote 192.0.2.2 dstport 14789 nolearning`,
    'ip link set dev lx1 arp off multicast off',
    'ip link set dev lx1 mtu 9216',
    'ip link set dev lx1 addrgenmode none',
    'ip address flush dev lx1 to fe80::/10',
    `ip link set dev lx1 alias "${ALIAS}"`,
    allow,
  ]
  const anew = (...gone: readonly string[]): readonly string[] => [
    'ip link del dev lx1',
    ...gone,
    ...fresh,
  ]
  const rows: readonly {
    name: string
    seen: Observation
    want: readonly string[]
  }[] = [
    {
      name: 'makes a device, silent and down, and then lets its peer in',
      seen: newObservation([]),
      want: fresh,
    },
    { name: 'leaves a device alone that is as it should be', seen: observe({}), want: [] },
    {
      name: 'leaves one alone whose ends nobody looked at',
      seen: observe({ vxlan: undefined }),
      want: [],
    },
    {
      name: 'lets the peer in of a device that is down: it may have failed in between',
      seen: observe({ isUp: false }),
      want: [allow],
    },
    {
      name: 'points it to another node in place',
      seen: observe({ vxlan: { ...VXLAN, remote: '192.0.2.9' }, alias: 'l2wire lab/w' }),
      want: [
        'ip link set dev lx1 type vxlan id 7 remote 192.0.2.2',
        `ip link set dev lx1 alias "${ALIAS}"`,
        allow,
        ...renderGone('192.0.2.9', 'peers4', 7),
      ],
    },
    { name: 'sets its MTU', seen: observe({ mtuBytes: 1280 }), want: fresh.slice(1, 5) },
    {
      name: 'makes it anew for another VNI',
      seen: observe({ vxlan: { ...VXLAN, vni: 8 } }),
      want: anew(...renderGone('192.0.2.2', 'peers4', 8)),
    },
    {
      name: 'makes it anew for another port',
      seen: observe({ vxlan: { ...VXLAN, port: 4789 } }),
      want: anew(),
    },
    {
      name: 'makes it anew for another address family',
      seen: observe({ vxlan: { ...VXLAN, remote: '2001:db8::2' } }),
      want: anew(...renderGone('2001:db8::2', 'peers6', 7)),
    },
    {
      name: 'makes it anew for another address of this node, and goes on letting its peer in',
      seen: observe({ vxlan: { ...VXLAN, local: '192.0.2.7' } }),
      want: anew(),
    },
    { name: 'makes it anew where it is no tunnel', seen: observe({ vxlan: null }), want: anew() },
  ]
  for (const { name, seen, want } of rows)
    it(name, () => {
      expect(render(diff(wantTunnel(TUNNEL), seen, 'bpf'))).to.deep.equal(want)
    })

  it('is taken away with its permission', () => {
    const step: Step = { op: 'del-link', netns: undefined, dev: 'lx1' }
    expect(render(diff([step], observe({}), 'bpf'))).to.deep.equal([
      'ip link del dev lx1',
      ...renderGone('192.0.2.2', 'peers4', 7),
    ])
  })
})

it('the alias of a tunnel fits the kernel, with names of full length', () => {
  const wireKey = `${'n'.repeat(63)}/${'w'.repeat(128)}`
  const address = '2001:db8:1111:2222:3333:4444:5555:6666'
  const long = { ...TUNNEL, wireKey, local: address, remote: address, vni: 16_777_215 }
  const [alias] = wantTunnel(long).flatMap((step) => (step.op === 'set-link' ? [step.alias] : []))
  expect(Buffer.byteLength(alias ?? '')).to.be.within(1, 255)
})

describe('guard-port', () => {
  it('renews its rules in one transaction, the drop last', () => {
    const lines = render([
      { op: 'guard-port', netns: undefined, port: 14789, checksPath: true, hops: ['up0'] },
    ])
    const at = lines.findIndex((line) => line.includes('flush chain'))
    expect(lines.slice(at - 3, at - 1)).to.deep.equal([
      'nft flush set inet l2wire hops6',
      'nft add element inet l2wire hops6 { "up0" }',
    ])
    const path = 'fib saddr . iif oif missing counter drop'
    expect(lines.slice(at + 1, at + 3)).to.deep.equal([
      `nft add rule inet l2wire input udp dport 14789 meta nfproto ipv4 ${path}`,
      `nft add rule inet l2wire input udp dport 14789 meta nfproto ipv6 iifname != @hops6 ${path}`,
    ])
    const last = lines.findIndex((line) => line.includes('add chain inet l2wire forward'))
    expect(lines[last - 1]).to.equal('nft add rule inet l2wire input udp dport 14789 counter drop')
    expect(lines.slice(last + 1)).to.deep.equal([
      'nft flush chain inet l2wire forward',
      'nft add rule inet l2wire forward udp dport 14789 ip daddr . @th,96,24 @peers4 counter drop',
      'nft add rule inet l2wire forward udp dport 14789 ip6 daddr . @th,96,24 @peers6 counter drop',
    ])
  })
})

describe('getOverheadBytes()', () => {
  it('knows both address families', () => {
    expect([getOverheadBytes('192.0.2.1'), getOverheadBytes('2001:db8::1')]).to.deep.equal([50, 70])
  })
})

describe('VNIs', () => {
  const range = { first: 10, last: 14 }
  const rows = [
    { name: 'start where they are told to', taken: [], start: 12, want: [12, 13, 14, 10, 11] },
    { name: 'pass over what is taken', taken: [10, 13], start: 12, want: [12, 14, 11] },
    {
      name: 'do not care for others outside the range',
      taken: [99],
      start: 14,
      want: [14, 10, 11, 12, 13],
    },
    { name: 'find the only one left', taken: [10, 12, 13, 14], start: 12, want: [11] },
  ]
  for (const { name, taken, start, want } of rows)
    it(name, () => {
      const got: number[] = []
      expect(() => {
        for (const vni of listFreeVnis(range, new Set(taken), start)) got.push(vni)
      }).to.throw('10 to 14 are taken')
      expect(got).to.deep.equal(want)
    })

  it('have a range in words', () => {
    expect(decodeVniRange('4096-16777215', '--vni-range')).to.deep.equal({
      first: 4096,
      last: 16777215,
    })
  })
  for (const text of ['', '1', '0-5', '9-5', '1-16777216', 'a-b'])
    it(`refuse the range ${JSON.stringify(text)}`, () => {
      expect(() => decodeVniRange(text, '--vni-range')).to.throw('--vni-range')
    })
})
