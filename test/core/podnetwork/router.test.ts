import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { fromEui64, toEui64 } from '../../../core/net/eui64.ts'
import { findRouter, parseCandidates, parseNeighbours } from '../../../core/podnetwork/router.ts'

const INSIDE = JSON.stringify([
  { ifindex: 2, ifname: 'eth0', link_index: 7, link_netnsid: 0, address: '02:00:00:00:00:01' },
])
const END = {
  ifindex: 7,
  ifname: 'veth1',
  link_index: 2,
  link_netnsid: 3,
  address: '02:00:00:00:00:07',
  addr_info: [{ local: 'fe80::7' }],
}
const BRIDGE = {
  ifindex: 4,
  ifname: 'cni0',
  address: '02:00:00:00:00:04',
  addr_info: [{ local: '10.0.0.1' }, { local: 'fd00::1' }, { local: 'fe80::4' }],
}

function read(...node: readonly object[]): readonly string[] {
  return parseCandidates(INSIDE, JSON.stringify(node)).map(({ mac }) => mac)
}

describe('parseCandidates()', () => {
  it("finds the node's end of a veth, and the bridge that it is a port of", () => {
    expect(read(BRIDGE, END)).to.deep.equal([END.address])
    expect(read(BRIDGE, { ...END, master: 'cni0' })).to.deep.equal([END.address, BRIDGE.address])
  })
  it('takes nothing else for it', () => {
    for (const other of [
      { ...END, ifindex: 8 },
      { ...END, link_index: 5 },
      { ...END, link_netnsid: undefined },
    ])
      expect(read(other)).to.deep.equal([])
    expect(parseCandidates('', '')).to.deep.equal([])
    expect(parseCandidates('[{"ifname":"eth0","ifindex":2}]', JSON.stringify([END]))).to.deep.equal(
      [],
    )
    expect(() => parseCandidates('{}', '')).to.throw(DecodeError)
  })
})

describe('findRouter()', () => {
  const bridge = { mac: BRIDGE.address, addresses: ['fd00::1', 'fe80::4'] }
  const known = new Map([['fe80::9', '02:00:00:00:00:09']])
  for (const [name, gateway, want] of [
    ['a device with the address', 'fd00::1', { linkLocal: 'fe80::4', mac: bridge.mac }],
    ['a device with the link-local address', 'fe80::4', { linkLocal: 'fe80::4', mac: bridge.mac }],
    ['a neighbour', 'fe80::9', { linkLocal: 'fe80::9', mac: '02:00:00:00:00:09' }],
    [
      'the MAC that the address was made of',
      'fe80::ecee:eeff:feee:eeee',
      { linkLocal: 'fe80::ecee:eeff:feee:eeee', mac: 'ee:ee:ee:ee:ee:ee' },
    ],
    ['nobody by an address that nothing here has', 'fd00::5', undefined],
    ['nobody by a link-local address of no MAC', 'fe80::5', undefined],
  ] as const)
    it(`knows ${name}`, () => {
      expect(findRouter(gateway, [bridge], known)).to.deep.equal(want)
    })
  it('does not know who speaks for a device without a link-local address', () => {
    const silent = { mac: bridge.mac, addresses: ['fd00::1'] }
    expect(findRouter('fd00::1', [silent], new Map())).to.equal(undefined)
  })
})

describe('parseNeighbours()', () => {
  it('reads those whose MAC is known', () => {
    const json = '[{"dst":"fe80::1","lladdr":"02:00:00:00:00:01"},{"dst":"fe80::2"}]'
    expect([...parseNeighbours(json)]).to.deep.equal([['fe80::1', '02:00:00:00:00:01']])
    expect(parseNeighbours('').size).to.equal(0)
  })
})

describe('toEui64()', () => {
  for (const [mac, address] of [
    ['ee:ee:ee:ee:ee:ee', 'fe80::ecee:eeff:feee:eeee'],
    ['02:00:5e:00:53:01', 'fe80::5eff:fe00:5301'],
    ['00:11:22:33:44:55', 'fe80::211:22ff:fe33:4455'],
  ] as const)
    it(`makes ${address} of ${mac}`, () => {
      expect(toEui64(mac)).to.equal(address)
    })
  it('is undone where all groups are written', () => {
    expect(fromEui64('fe80::211:22ff:fe33:4455')).to.equal('00:11:22:33:44:55')
    expect(fromEui64('fe80::1')).to.equal(undefined)
    expect(fromEui64('fd00::211:22ff:fe33:4455')).to.equal(undefined)
  })
})
