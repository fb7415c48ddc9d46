import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../../core/steps/argv.ts'
import {
  findMissing,
  needsIpv6,
  planAddressing,
  withNextHops,
  type Addressing,
} from '../../../core/steps/addressing.ts'
import type { NicRoute } from '../../../core/net/route.ts'
import {
  parseAddresses,
  parseDevices,
  parseLearntAddresses,
  parseRoutes,
} from '../../../core/observe/ip-output.ts'

const NETNS = '/run/netns/a'

/** What the kernel will be told, one line per command. */
function render(addressing: Addressing): readonly string[] {
  const steps = planAddressing(NETNS, 'eth1.5', addressing)
  return renderBatches(steps, { classifier: 'bpf', hostNetns: '' }).flatMap((batch) => {
    expect(batch.netns).to.equal(NETNS)
    return batch.lines.map((line) => `${batch.tool} ${line}`)
  })
}

describe('planAddressing()', () => {
  it('does nothing where there is nothing to do', () => {
    expect(render({ ips: [], routes: [] })).to.deep.equal([])
  })
  it('sets IPv4 without touching IPv6', () => {
    const ips = [{ address: '10.0.0.2/24' }, { address: '10.0.1.0/31' }, { address: '10.0.2.1/32' }]
    expect(render({ ips, routes: [] })).to.deep.equal([
      'ip address add 10.0.0.2/24 broadcast + dev eth1.5',
      'ip address add 10.0.1.0/31 dev eth1.5',
      'ip address add 10.0.2.1/32 dev eth1.5',
    ])
  })
  it('sets IPv6 addresses that wait for nobody', () => {
    expect(render({ ips: [{ address: 'fd00::2/64' }], routes: [] })).to.deep.equal([
      'ip address add fd00::2/64 nodad dev eth1.5',
    ])
  })
  it('gives routes every field the kernel takes', () => {
    const route: NicRoute = {
      dst: '10.1.0.0/16',
      gw: '10.0.0.1',
      mtu: 1400,
      advmss: 1360,
      priority: 10,
      table: 100,
      scope: 0,
    }
    expect(render({ ips: [], routes: [route, { dst: '::/0' }] })).to.deep.equal([
      'ip route append 10.1.0.0/16 dev eth1.5 via 10.0.0.1 mtu 1400 advmss 1360 metric 10 table 100 scope 0',
      'ip route append ::/0 dev eth1.5',
    ])
  })
  it('needs IPv6 for an IPv6 address', () => {
    expect(needsIpv6({ ips: [{ address: '10.0.0.2/24' }], routes: [{ dst: '::/0' }] })).to.equal(
      false,
    )
    expect(needsIpv6({ ips: [{ address: 'fd00::2/64' }], routes: [] })).to.equal(true)
  })
})

describe('withNextHops()', () => {
  it("takes the gateway of an address of the route's family", () => {
    const { routes } = withNextHops({
      ips: [
        { address: '10.0.0.2/24' },
        { address: 'fd00::2/64', gateway: 'fd00::1' },
        { address: '10.0.1.2/24', gateway: '10.0.1.1' },
      ],
      routes: [
        { dst: '0.0.0.0/0' },
        { dst: '::/0' },
        { dst: '10.9.0.0/16', gw: '10.0.0.9' },
        { dst: '10.8.0.0/16', scope: 253 },
        { dst: '10.7.0.0/16', scope: 0 },
      ],
    })
    expect(routes.map(({ gw }) => gw)).to.deep.equal([
      '10.0.1.1',
      'fd00::1',
      '10.0.0.9',
      undefined,
      '10.0.1.1',
    ])
  })
})

/** What is there, with its route changed. */
function route(more: object): { addresses: string[]; routes: NicRoute[] } {
  return {
    addresses: ['10.0.0.2/24'],
    routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1', ...more }],
  }
}

describe('findMissing()', () => {
  const wanted: Addressing = {
    ips: [{ address: '10.0.0.2/24' }],
    routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }],
  }
  const there = { addresses: ['10.0.0.2/24'], routes: [{ ...wanted.routes[0], priority: 0 }] }
  it('passes over what the owner has set beside', () => {
    const more = {
      addresses: ['10.5.0.1/24', ...there.addresses],
      routes: [{ dst: '10.6.0.0/16' }, ...route({ table: 254 }).routes],
    }
    expect(findMissing(wanted, more)).to.equal(undefined)
  })
  it('names an address that is gone, or has another prefix', () => {
    for (const addresses of [[], ['10.0.0.2/16']])
      expect(findMissing(wanted, { ...route({}), addresses })).to.include('10.0.0.2/24 is gone')
  })
  const others: readonly object[] = [{ gw: '10.0.0.9' }, { dst: '10.0.0.0/8' }, { table: 100 }]
  for (const more of others)
    it(`names a route that is ${JSON.stringify(more)} now`, () => {
      expect(findMissing(wanted, route(more))).to.include('0.0.0.0/0 via 10.0.0.1 is gone')
    })
  it('compares the metric where one was asked for', () => {
    const routes = [{ dst: '0.0.0.0/0', gw: '10.0.0.1', priority: 7 }]
    expect(findMissing({ ips: [], routes }, route({ priority: 7 }))).to.equal(undefined)
    expect(findMissing({ ips: [], routes }, route({ priority: 8 }))).to.not.equal(undefined)
  })
})

describe('the output of iproute2', () => {
  it('has addresses with their prefix', () => {
    const json =
      '[{"addr_info":[{"local":"10.0.0.2","prefixlen":24},{"local":"fd00::2","prefixlen":64}]},{}]'
    expect(parseAddresses(json)).to.deep.equal(['10.0.0.2/24', 'fd00::2/64'])
    expect(parseAddresses('')).to.deep.equal([])
    const learnt = [{ local: 'fd00::3', prefixlen: 64, dynamic: true }, { local: 'fd00::4' }]
    expect(parseLearntAddresses(JSON.stringify([{ addr_info: learnt }, {}]))).to.deep.equal([
      'fd00::3/64',
    ])
  })
  it('has routes through one interface, in one spelling', () => {
    const routes = [
      { dst: 'default', gateway: '10.0.0.1', dev: 'eth1', flags: [], metrics: [{ mtu: 1400 }] },
      { dst: 'default', gateway: '10.244.0.1', dev: 'eth0', flags: [] },
      { dst: '10.9.1.1', dev: 'eth1', metric: 5, table: '100' },
    ]
    expect(parseRoutes(JSON.stringify(routes), 'eth1', 4)).to.deep.equal([
      { dst: '0.0.0.0/0', gw: '10.0.0.1', mtu: 1400, priority: 0 },
      { dst: '10.9.1.1/32', table: 100, priority: 5 },
    ])
    const shared = [
      {
        dst: 'default',
        metric: 1024,
        nexthops: [
          { gateway: 'fd01::1', dev: 'eth0' },
          { gateway: 'fd00::1', dev: 'eth1' },
        ],
      },
      { dst: 'fd00::2', dev: 'eth1', table: '255' },
    ]
    expect(parseRoutes(JSON.stringify(shared), 'eth1', 6)).to.deep.equal([
      { dst: '::/0', gw: 'fd00::1', priority: 1024 },
      { dst: 'fd00::2/128', table: 255, priority: 0 },
    ])
  })

  it('has devices that routes lead out through, but for those that refuse', () => {
    const shared = { dst: 'default', nexthops: [{ dev: 'eth0' }, { dev: 'eth1' }] }
    const refusing = [
      { type: 'unreachable', dst: 'default', dev: 'lo', metric: 4294967295 },
      { type: 'blackhole', dst: 'default', metric: 999 },
    ]
    expect(parseDevices(JSON.stringify([shared, ...refusing]))).to.deep.equal(['eth0', 'eth1'])
    expect(parseDevices(JSON.stringify(refusing))).to.deep.equal([])
  })
})
