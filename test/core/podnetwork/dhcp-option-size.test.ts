import { expect } from 'chai'
import { describe, it } from 'mocha'

import { fitLists, listUntold } from '../../../core/podnetwork/dhcp-option-size.ts'
import type { VmNetwork } from '../../../core/podnetwork/vm-network.ts'

const BARE: VmNetwork = {
  mac: '02:00:00:00:00:01',
  mtuBytes: 1450,
  ipv4: '10.0.0.2/24',
  routes: [],
  nameservers: [],
  searches: [],
}

/** 61 characters, hence 63 bytes in an option. */
function newDomains(count: number): readonly string[] {
  return Array.from({ length: count }, (_, at) => `${at}${'x'.repeat(60)}`)
}

describe('fitLists()', () => {
  it('keeps as many search domains as an option of DHCPv4 holds', () => {
    // 4 × 63 + 3 bytes.
    const searches = [...newDomains(4), 'a', 'b']
    const { searches: told } = fitLists({ ...BARE, searches }, 4)
    expect(told).to.deep.equal([...newDomains(4), 'a'])
  })

  it('keeps as many as a line holds where DHCPv6 has more room', () => {
    const searches = newDomains(20)
    const { searches: told } = fitLists({ ...BARE, searches }, 6)
    expect(told).to.deep.equal(searches.slice(0, 15))
  })

  it('keeps the default route, and the way to its next hop, before all others', () => {
    const rest = Array.from({ length: 40 }, (_, at) => ({ dst: `10.${at}.0.0/16`, gw: '10.0.0.9' }))
    const routes = [
      { dst: '192.0.2.1/32' },
      ...rest,
      { dst: '169.254.1.1/32' },
      { dst: '0.0.0.0/0', gw: '169.254.1.1' },
      { dst: 'fd00::/64' },
    ]
    const told = fitLists({ ...BARE, routes }, 4).routes
    // 9 + 5 + 9 bytes, and 7 for each other one.
    expect(told).to.deep.equal([
      '169.254.1.1/32,0.0.0.0',
      '0.0.0.0/0,169.254.1.1',
      '192.0.2.1/32,0.0.0.0',
      ...rest.slice(0, 33).map(({ dst, gw }) => `${dst},${gw}`),
    ])
  })

  it('keeps what a line holds of short routes with long names', () => {
    const routes = Array.from({ length: 42 }, (_, at) => ({
      dst: `${at + 100}.0.0.0/8`,
      gw: '100.100.100.100',
    }))
    expect(fitLists({ ...BARE, routes }, 4).routes).to.have.length(34)
  })
})

describe('listUntold()', () => {
  it('names options that there are no words for, or no DHCPv4', () => {
    const dhcpOptions = [
      { code: 66, text: 'tftp' },
      { code: 67, text: 'two\nlines' },
    ]
    expect(listUntold({ ...BARE, dhcpOptions })).to.deep.equal(['option 67 (IPv4)'])
    const { ipv4: _, ...lease } = BARE
    expect(listUntold({ ...lease, dhcpOptions })).to.have.length(2)
  })

  it('names what has no room, by family', () => {
    const searches = newDomains(16)
    const untold = listUntold({ ...BARE, ipv6: 'fd00::2/64', searches })
    expect(untold).to.deep.equal([
      ...searches.slice(4).map((one) => `${one} (IPv4)`),
      ...searches.slice(15).map((one) => `${one} (IPv6)`),
    ])
  })

  it('has nothing to say of what an ordinary pod is told', () => {
    const searches = ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local']
    expect(listUntold({ ...BARE, searches, nameservers: ['10.96.0.10'] })).to.deep.equal([])
  })
})
