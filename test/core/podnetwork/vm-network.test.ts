import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { NicRoute } from '../../../core/net/route.ts'
import type { NicWish } from '../../../core/attach/launcher.ts'
import {
  findLostAddress,
  getDefaultHop,
  toVmNetwork,
  toToldMtu,
  type VmNetworkFinding,
} from '../../../core/podnetwork/vm-network.ts'
import { NO_DNS } from '../../../core/podnetwork/pod-dns.ts'

const WISH: NicWish = { hostname: 'r1', dns: NO_DNS, mac: undefined, isMultiQueue: false }

function find(
  addresses: readonly string[],
  routes: readonly NicRoute[] = [],
  wish: Partial<NicWish> = {},
): VmNetworkFinding {
  return toVmNetwork({
    addressing: { addresses, routes, learnt: addresses.filter((one) => one.includes('::beef')) },
    mac: '02:00:00:00:00:01',
    mtuBytes: 1450,
    wish: { ...WISH, ...wish },
  })
}

describe('toVmNetwork()', () => {
  it('is nothing without addresses that others reach', () => {
    expect(find([]).vmNetwork).to.equal(undefined)
    expect(find(['fe80::1/64']).vmNetwork).to.equal(undefined)
  })

  it('says nothing of IPv6 to who has too few bytes for it', () => {
    const addressing = { addresses: ['fd00::3/64', 'fd00::2/64'], routes: [], learnt: [] }
    const facts = { mac: '02:00:00:00:00:01', wish: WISH }
    const few = { ...facts, addressing, mtuBytes: 1279 }
    expect(toVmNetwork(few)).to.deep.equal({
      vmNetwork: undefined,
      others: ['fd00::2/64', 'fd00::3/64'],
    })
    expect(toVmNetwork({ ...few, mtuBytes: 1280 }).vmNetwork?.ipv6).to.equal('fd00::2/128')
    const both = { ...addressing, addresses: ['10.0.0.2/24', ...addressing.addresses] }
    const found = toVmNetwork({ ...few, addressing: both })
    expect(found.vmNetwork)
      .to.include({ mtuBytes: 1279, ipv4: '10.0.0.2/32' })
      .and.not.have.key('ipv6')
  })

  it('has what a bridge with host-local gives', () => {
    const routes = [
      { dst: '10.0.0.0/24', priority: 0 },
      { dst: '0.0.0.0/0', gw: '10.0.0.1', priority: 0 },
      { dst: 'fd00::/64', priority: 256 },
      { dst: 'fe80::/64', priority: 256 },
      { dst: 'ff00::/8', table: 255, priority: 256 },
      { dst: '::/0', gw: 'fd00::1', priority: 1024 },
    ]
    expect(find(['10.0.0.2/24', 'fd00::2/64', 'fe80::2/64'], routes)).to.deep.equal({
      others: [],
      vmNetwork: {
        mac: '02:00:00:00:00:01',
        mtuBytes: 1450,
        hostname: 'r1',
        ipv4: '10.0.0.2/24',
        ipv6: 'fd00::2/64',
        routes: [
          { dst: '0.0.0.0/0', gw: '10.0.0.1' },
          { dst: '::/0', gw: 'fd00::1' },
        ],
        nameservers: [],
        searches: [],
      },
    })
  })

  for (const [name, addresses, routes, want] of [
    [
      'a next hop beyond the link is on it by a route of its own, set before it is used',
      ['10.0.0.2/32'],
      [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
      { ipv4: '10.0.0.2/32', routes: ['169.254.1.1/32', '0.0.0.0/0 169.254.1.1'] },
    ],
    [
      'which is not told twice',
      ['10.0.0.2/32'],
      [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }, { dst: '169.254.1.1/32' }],
      { ipv4: '10.0.0.2/32', routes: ['169.254.1.1/32', '0.0.0.0/0 169.254.1.1'] },
    ],
    [
      'a network that is behind the gateway is not on the link',
      ['10.0.0.2/24'],
      [{ dst: '10.0.0.0/24', gw: '10.0.0.1' }, { dst: '10.0.0.1/32' }],
      { ipv4: '10.0.0.2/32', routes: ['10.0.0.1/32', '10.0.0.0/24 10.0.0.1'] },
    ],
    [
      'of two routes to a destination the better one is told',
      ['10.0.0.2/24'],
      [
        { dst: '10.0.0.0/24' },
        { dst: '0.0.0.0/0', gw: '10.0.0.9', priority: 200 },
        { dst: '0.0.0.0/0', gw: '10.0.0.1', priority: 100 },
      ],
      { ipv4: '10.0.0.2/24', routes: ['0.0.0.0/0 10.0.0.1'] },
    ],
    [
      "tables other than the main one are the pod's own",
      ['10.0.0.2/24'],
      [{ dst: '10.0.0.0/24' }, { dst: '0.0.0.0/0', gw: '10.0.0.1', table: 100 }],
      { ipv4: '10.0.0.2/24', routes: [] },
    ],
    [
      'routes of a family without an address are not told',
      ['10.0.0.2/24'],
      [{ dst: '10.0.0.0/24' }, { dst: '::/0', gw: 'fe80::1' }],
      { ipv4: '10.0.0.2/24', routes: [] },
    ],
    [
      'a link-local gateway needs no route',
      ['fd00::2/128'],
      [{ dst: '::/0', gw: 'fe80::1' }],
      { ipv6: 'fd00::2/128', routes: ['::/0 fe80::1'] },
    ],
  ] as const)
    it(name, () => {
      const { vmNetwork } = find(addresses, routes)
      const told = vmNetwork?.routes.map(({ dst, gw }) => (gw === undefined ? dst : `${dst} ${gw}`))
      const { routes: wantRoutes, ...wantAddresses } = want
      expect(told).to.deep.equal(wantRoutes)
      expect(vmNetwork).to.include(wantAddresses)
    })

  it('has the address of each family that was set first, and names the others', () => {
    // The kernel puts a new IPv6 address before the others of its scope, and IPv4's behind.
    const addresses = ['10.0.0.2/24', '10.0.0.3/24', 'fd00::3/64', 'fd00::2/64', 'fe80::2/64']
    const { vmNetwork, others } = find(addresses)
    expect(vmNetwork).to.include({ ipv4: '10.0.0.2/32', ipv6: 'fd00::2/128' })
    expect(others).to.deep.equal(['10.0.0.3/24', 'fd00::3/64'])
  })

  it('leaves to the router what the router gave', () => {
    expect(find(['fd00::beef/64'])).to.deep.equal({ vmNetwork: undefined, others: [] })
    const { vmNetwork } = find(['10.0.0.2/24', 'fd00::beef/64'], [{ dst: '::/0', gw: 'fe80::1' }])
    expect(vmNetwork).to.not.have.property('ipv6')
    expect(vmNetwork?.routes).to.deep.equal([])
  })

  it("has the VMI's MAC, and a hostname that is one", () => {
    const mac = '02:00:00:00:00:02'
    for (const [hostname, want] of [
      ['r1', 'r1'],
      ['r1.example.org', 'r1'],
      ['-r1', undefined],
      ['r1,infinite', undefined],
      ['x'.repeat(64), undefined],
      [undefined, undefined],
    ] as const) {
      const { vmNetwork } = find(['10.0.0.2/24'], [], { hostname, mac })
      expect(vmNetwork?.mac).to.equal(mac)
      expect(vmNetwork?.hostname).to.equal(want)
    }
  })

  it('tells the default hop of each family', () => {
    const routes = [{ dst: '::/0', gw: 'fe80::1' }]
    const { vmNetwork } = find(['fd00::2/64', '10.0.0.2/24'], routes)
    if (vmNetwork === undefined) throw new Error('no vmNetwork')
    expect(getDefaultHop(vmNetwork, 6)).to.equal('fe80::1')
    expect(getDefaultHop(vmNetwork, 4)).to.equal(undefined)
  })
})

describe('toToldMtu()', () => {
  for (const [name, routes, want] of [
    ["is the link's", [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }], 1450],
    ["is a default route's", [{ dst: '0.0.0.0/0', gw: '10.0.0.1', mtu: 1400 }], 1400],
    [
      'is the least of both families',
      [
        { dst: '0.0.0.0/0', mtu: 1400 },
        { dst: '::/0', gw: 'fe80::1', mtu: 1390 },
      ],
      1390,
    ],
    ["is no more than the link's", [{ dst: '::/0', gw: 'fe80::1', mtu: 9000 }], 1450],
    ["is not another route's", [{ dst: '10.9.0.0/16', gw: '10.0.0.1', mtu: 1300 }], 1450],
    ["is not another table's", [{ dst: '0.0.0.0/0', gw: '10.0.0.1', mtu: 1300, table: 100 }], 1450],
  ] as const)
    it(name, () => {
      expect(toToldMtu(1450, { addresses: [], learnt: [], routes })).to.equal(want)
    })
})

describe('findLostAddress()', () => {
  const { vmNetwork } = find(['10.0.0.2/24', 'fd00::2/64'])
  if (vmNetwork === undefined) throw new Error('no vmNetwork')
  for (const [name, addresses, want] of [
    ['nothing where all are there, whatever else is', ['10.0.0.2/16', '10.0.0.9/24', 'fd00::2/64']],
    ['one that another took the place of', ['10.0.0.3/24', 'fd00::2/64'], '10.0.0.2'],
    ['one of IPv6', ['10.0.0.2/24', 'fe80::2/64'], 'fd00::2'],
    ['one of a link that has none', [], '10.0.0.2'],
  ] as const)
    it(`names ${name}`, () => {
      const fault = findLostAddress(vmNetwork, addresses)
      if (want === undefined) expect(fault).to.equal(undefined)
      else expect(fault).to.include(`expected ${want} among them`)
    })
})
