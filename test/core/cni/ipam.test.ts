import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeIpamResult, pickListed } from '../../../core/cni/ipam.ts'
import { DecodeError } from '../../../core/errors.ts'

describe('decodeIpamResult()', () => {
  it('takes addresses, routes and DNS, in the spelling of the kernel', () => {
    const result = decodeIpamResult({
      cniVersion: '1.1.0',
      ips: [
        { version: '4', address: '10.0.0.2/24', gateway: '10.0.0.1', interface: 7 },
        { address: 'FD00::0002/64', gateway: null },
      ],
      routes: [
        { dst: '0.0.0.0/0', gw: null },
        { dst: '10.1.2.3/16', gw: '10.0.0.9', mtu: 1400, advmss: 0, priority: 5 },
        { dst: '10.2.0.0/16', table: 100, scope: 0 },
      ],
      dns: { nameservers: ['10.0.0.1'] },
    })
    expect(result).to.deep.equal({
      ips: [{ address: '10.0.0.2/24', gateway: '10.0.0.1' }, { address: 'fd00::2/64' }],
      routes: [
        { dst: '0.0.0.0/0' },
        { dst: '10.1.0.0/16', gw: '10.0.0.9', mtu: 1400, priority: 5 },
        { dst: '10.2.0.0/16', table: 100, scope: 0 },
      ],
      dns: { nameservers: ['10.0.0.1'] },
    })
  })
  it('takes a route that is said twice for one', () => {
    const routes = [{ dst: '0.0.0.0/0' }, { dst: '0.0.0.0/0' }]
    const result = decodeIpamResult({ ips: [{ address: '10.0.0.2/24' }], routes })
    expect(result.routes).to.have.length(1)
  })
  it('takes a result of spec version 0.2.0', () => {
    const result = decodeIpamResult({
      cniVersion: '0.2.0',
      ip4: { ip: '10.0.0.2/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0' }] },
      ip6: { ip: 'fd00::2/64' },
    })
    expect(result).to.deep.equal({
      ips: [{ address: '10.0.0.2/24', gateway: '10.0.0.1' }, { address: 'fd00::2/64' }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: undefined,
    })
  })
  it('takes a result of a version to come for what it knows of it', () => {
    const ips = [{ address: '10.0.0.2/24', lease: { seconds: 5 } }]
    expect(decodeIpamResult({ cniVersion: '9.0.0', ips, novelty: 1 }).ips).to.deep.equal([
      { address: '10.0.0.2/24' },
    ])
  })

  const ips = [{ address: '10.0.0.2/24' }]
  const refused: readonly { name: string; result: object; words: readonly string[] }[] = [
    { name: 'no addresses', result: {}, words: ['"ips"', 'missing', 'at least one'] },
    { name: 'an empty list', result: { ips: [] }, words: ['"ips"'] },
    { name: 'ips that are an object', result: { ips: {} }, words: ['"ips"', 'a list'] },
    { name: 'an address that is text', result: { ips: ['x'] }, words: ['"ips[0]"'] },
    {
      name: 'an address without prefix',
      result: { ips: [{ address: '10.0.0.2' }] },
      words: ['"ips[0].address"', '10.0.0.2'],
    },
    {
      name: 'a gateway that is none',
      result: { ips: [{ address: '10.0.0.2/24', gateway: 'eth0' }] },
      words: ['"ips[0].gateway"', 'eth0'],
    },
    { name: 'routes that are text', result: { ips, routes: 'x' }, words: ['"routes"'] },
    {
      name: 'a destination that is none',
      result: { ips, routes: [{ dst: 'default' }] },
      words: ['"routes[0].dst"', 'default'],
    },
    {
      name: 'a next hop of another family',
      result: { ips, routes: [{ dst: '0.0.0.0/0', gw: 'fd00::1' }] },
      words: ['"routes[0].gw"', 'IPv4'],
    },
    {
      name: 'an mtu below zero',
      result: { ips, routes: [{ dst: '0.0.0.0/0', mtu: -1 }] },
      words: ['"routes[0].mtu"', '-1'],
    },
    { name: 'dns that is a list', result: { ips, dns: [] }, words: ['"dns"'] },
    { name: 'an ip4 that is text', result: { ip4: 'x' }, words: ['"ip4"'] },
  ]
  for (const { name, result, words } of refused)
    it(`refuses ${name}`, () => {
      for (const word of words)
        expect(() => decodeIpamResult(result as Record<string, unknown>)).to.throw(
          DecodeError,
          word,
        )
    })
})

describe('pickListed()', () => {
  const addressing = {
    ips: [{ address: '10.0.0.2/24' }, { address: 'fd00::2/64' }],
    routes: [{ dst: '10.1.0.0/16', gw: '10.0.0.1' }, { dst: '::/0' }],
  }
  it('drops what a later plugin has taken out', () => {
    const prevResult = {
      ips: [{ address: 'FD00::2/64', interface: 1 }, { address: '10.9.0.1/24' }, 7],
      routes: [{ dst: '10.1.5.5/16' }],
    }
    expect(pickListed(addressing, prevResult)).to.deep.equal({
      ips: [{ address: 'fd00::2/64' }],
      routes: [{ dst: '10.1.0.0/16', gw: '10.0.0.1' }],
    })
    expect(pickListed(addressing, {})).to.deep.equal({ ips: [], routes: [] })
  })
})
