import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../core/argv.ts'
import type { ObservedLink } from '../../core/observed.ts'
import type { Step } from '../../core/step.ts'
import { getOverheadBytes, planTunnel, planUntunnel, type Tunnel } from '../../core/tunnel.ts'
import { decodeVniRange, listFreeVnis } from '../../core/vni.ts'

const TUNNEL: Tunnel = {
  device: 'lx1',
  wireKey: 'lab/w',
  vni: 7,
  local: '192.0.2.1',
  remote: '192.0.2.2',
  port: 14789,
  mtuBytes: 9216,
}
const ALIAS = 'l2wire lab/w vni 7 port 14789 local 192.0.2.1 remote 192.0.2.2'

function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, { classifier: 'bpf', hostNetns: 'x', hasIpv6: true }).flatMap(
    ({ tool, lines }) => lines.map((line) => `${tool} ${line}`),
  )
}

function observe(alias: string): ObservedLink {
  return { isUp: true, hasCarrier: true, mtuBytes: 9216, alias }
}

function renderGone(address: string, set: string, vni: number): readonly string[] {
  return [
    'ip link del dev lx1',
    `nft add element inet l2wire ${set} { ${address} . ${vni} }`,
    `nft delete element inet l2wire ${set} { ${address} . ${vni} }`,
  ]
}

describe('planTunnel()', () => {
  const fresh = [
    'nft add element inet l2wire peers4 { 192.0.2.2 . 7 }',
    'ip link add name lx1 mtu 9216 type vxlan id 7 local 192.0.2.1 remote 192.0.2.2 dstport 14789 nolearning',
    'ip link set dev lx1 addrgenmode none arp off multicast off',
    `ip link set dev lx1 alias "${ALIAS}"`,
  ]
  const rows: readonly { name: string; alias: string | undefined; want: readonly string[] }[] = [
    {
      name: 'makes a device, silent and down, its peer allowed first',
      alias: undefined,
      want: fresh,
    },
    {
      name: 'leaves a device alone that is as it should be',
      alias: ALIAS,
      want: [],
    },
    {
      name: 'points it to another node in place',
      alias: ALIAS.replace(/192.0.2.2$/, '192.0.2.9'),
      want: [
        ...fresh.slice(0, 1),
        'ip link set dev lx1 type vxlan id 7 remote 192.0.2.2',
        `ip link set dev lx1 alias "${ALIAS}"`,
        'nft add element inet l2wire peers4 { 192.0.2.9 . 7 }',
        'nft delete element inet l2wire peers4 { 192.0.2.9 . 7 }',
      ],
    },
    {
      name: 'makes it anew for another VNI',
      alias: ALIAS.replace('vni 7', 'vni 8'),
      want: [...renderGone('192.0.2.2', 'peers4', 8), ...fresh],
    },
    {
      name: 'makes it anew for another address family',
      alias: ALIAS.replace(/192.0.2.2$/, '2001:db8::2'),
      want: [...renderGone('2001:db8::2', 'peers6', 7), ...fresh],
    },
    {
      name: 'makes it anew where nobody knows what it was for',
      alias: 'something else',
      want: ['ip link del dev lx1', ...fresh],
    },
  ]
  for (const { name, alias, want } of rows)
    it(name, () => {
      const observed = alias === undefined ? undefined : observe(alias)
      expect(render(planTunnel(TUNNEL, observed))).to.deep.equal(want)
    })

  it('is taken away with its permission', () => {
    expect(render(planUntunnel('lx1', observe(ALIAS)))).to.deep.equal(
      renderGone('192.0.2.2', 'peers4', 7),
    )
  })
})

describe('guard-port', () => {
  it('renews its rules in one transaction, the drop last', () => {
    const lines = render([{ op: 'guard-port', netns: undefined, port: 14789 }])
    expect(lines.findIndex((line) => line.includes('flush chain'))).to.equal(4)
    expect(lines.at(-1)).to.equal('nft add rule inet l2wire input udp dport 14789 counter drop')
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
    { name: 'start at the first', taken: [], want: [10, 11, 12, 13, 14] },
    {
      name: 'go on behind the highest, so that one given back rests',
      taken: [10, 12],
      want: [13, 14, 11],
    },
    { name: 'do not care for others outside the range', taken: [99], want: [10, 11, 12, 13, 14] },
    { name: 'come round', taken: [14], want: [10, 11, 12, 13] },
  ]
  for (const { name, taken, want } of rows)
    it(name, () => {
      const got: number[] = []
      expect(() => {
        for (const vni of listFreeVnis(range, new Set(taken))) got.push(vni)
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
