import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { VmNetwork } from '../../../core/podnetwork/vm-network.ts'
import { findSilent } from '../../../core/podnetwork/silent-gateway.ts'

const [ONE, TWO] = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const
const ROUTER = { linkLocal: 'fe80::1', mac: ONE }

function newLease(hops: readonly string[], router?: VmNetwork['router']): VmNetwork {
  return {
    mac: '02:00:00:00:00:09',
    mtuBytes: 1500,
    ipv4: '10.0.0.2/32',
    routes: [{ dst: '169.254.1.1/32' }, ...hops.map((gw) => ({ dst: '0.0.0.0/0', gw }))],
    ...(router === undefined ? {} : { router }),
    nameservers: [],
    searches: [],
  }
}

describe('findSilent()', () => {
  const both = new Map([
    ['169.254.1.1', ONE],
    ['fe80::1', ONE],
  ])
  const rows = [
    { name: 'no permanent neighbour', lease: newLease(['10.0.0.1']), has: both, addresses: [] },
    { name: 'one that is no next hop', lease: newLease([]), has: both, addresses: [] },
    {
      name: 'an IPv4 gateway, told once',
      lease: newLease(['169.254.1.1', '169.254.1.1']),
      has: both,
      addresses: ['169.254.1.1'],
    },
    {
      name: 'both gateways',
      lease: newLease(['169.254.1.1', 'fe80::1'], ROUTER),
      has: both,
      addresses: ['fe80::1', '169.254.1.1'],
    },
    {
      name: "another MAC than the router's",
      lease: newLease(['169.254.1.1'], ROUTER),
      has: new Map([['169.254.1.1', TWO]]),
      addresses: [],
      left: ['169.254.1.1'],
    },
    {
      name: 'several MACs: that of the first',
      lease: newLease(['10.0.0.1', '10.0.0.3', '10.0.0.4']),
      has: new Map([
        ['10.0.0.1', TWO],
        ['10.0.0.3', ONE],
        ['10.0.0.4', TWO],
      ]),
      addresses: ['10.0.0.1', '10.0.0.4'],
      left: ['10.0.0.3'],
    },
    {
      name: 'more than there are places',
      lease: newLease([1, 2, 3, 4, 5].map((last) => `10.0.0.${last}`)),
      has: new Map([1, 2, 3, 4, 5].map((last) => [`10.0.0.${last}`, ONE])),
      addresses: [1, 2, 3, 4].map((last) => `10.0.0.${last}`),
      left: ['10.0.0.5'],
    },
  ]
  for (const { name, lease, has, addresses, left = [] } of rows)
    it(name, () => {
      const found = findSilent(lease, has)
      expect(found.silent?.addresses ?? []).to.deep.equal(addresses)
      expect(found.left).to.deep.equal(left)
      const [first = ''] = addresses
      expect(found.silent?.mac).to.equal(has.get(first))
    })
  it('has no IPv4 gateway where the VM has no IPv4 address', () => {
    const { ipv4: _, ...lease } = newLease(['169.254.1.1', 'fe80::1'], ROUTER)
    expect(findSilent(lease, both).silent?.addresses).to.deep.equal(['fe80::1'])
  })
})
