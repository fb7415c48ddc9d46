import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import {
  parseLinks,
  sharesDevice,
  type ObservedLink,
  type ObservedLinks,
} from '../../../core/observe/links.ts'
import { newLink } from '../samples.ts'

const A = 'lw00000000000aa'
const TUNNEL = 'lx00000000000cc'

// As iproute2 6.1 prints them, less what is not read.
const HOST_END = {
  ifindex: 12,
  link_index: 2,
  ifname: A,
  flags: ['NO-CARRIER', 'BROADCAST', 'UP'],
  mtu: 9216,
  qdisc: 'noqueue',
  address: '36:d9:c6:5e:f2:0e',
  link_netnsid: 7,
  inet6_addr_gen_mode: 'none',
  linkinfo: { info_kind: 'veth' },
  ifalias: 'l2wire lab/r1-h1 vm/r1 pod0123456789a',
}
const VXLAN = {
  ifindex: 5,
  ifname: TUNNEL,
  flags: ['BROADCAST', 'NOARP', 'UP', 'LOWER_UP'],
  mtu: 9216,
  linkinfo: {
    info_kind: 'vxlan',
    info_data: {
      id: 4096,
      remote6: '2001:db8::2',
      local6: '2001:db8::1',
      port_range: { low: 0, high: 0 },
      port: 14789,
      learning: false,
    },
  },
  ifalias: 'l2wire lab/w vni 4096 port 14789 local 2001:db8::1 remote 2001:db8::2',
}

// Of which nothing is said.
const NOTHING: ObservedLink = {
  name: '',
  ifindex: 0,
  mac: '',
  mtuBytes: 0,
  isUp: false,
  hasCarrier: false,
  flags: new Set(),
  alias: '',
  kind: '',
  isMultiQueue: false,
  qdisc: undefined,
  genMode: undefined,
  vxlan: null,
}

function parse(...links: readonly object[]): ObservedLinks {
  return parseLinks(JSON.stringify([{}, ...links]))
}

describe('parseLinks()', () => {
  it('reads a host end', () => {
    expect(parse(HOST_END).get(A)).to.deep.equal({
      name: A,
      ifindex: 12,
      mac: '36:d9:c6:5e:f2:0e',
      mtuBytes: 9216,
      isUp: true,
      hasCarrier: false,
      flags: new Set(['NO-CARRIER', 'BROADCAST', 'UP']),
      alias: 'l2wire lab/r1-h1 vm/r1 pod0123456789a',
      kind: 'veth',
      isMultiQueue: false,
      qdisc: 'noqueue',
      genMode: 'none',
      peer: { ifindex: 2, nsid: 7 },
      vxlan: null,
    })
  })

  it('reads a tunnel', () => {
    expect(parse(VXLAN).get(TUNNEL)).to.deep.equal({
      ...NOTHING,
      name: TUNNEL,
      ifindex: 5,
      mtuBytes: 9216,
      isUp: true,
      hasCarrier: true,
      flags: new Set(VXLAN.flags),
      alias: VXLAN.ifalias,
      kind: 'vxlan',
      vxlan: { vni: 4096, local: '2001:db8::1', remote: '2001:db8::2', port: 14789 },
    })
  })

  it('reads a tap', () => {
    const linkinfo = { info_kind: 'tun', info_data: { type: 'tap', multi_queue: true } }
    expect(parse({ ifname: 'tap0', linkinfo }).get('tap0')).to.deep.equal({
      ...NOTHING,
      name: 'tap0',
      kind: 'tun',
      isMultiQueue: true,
    })
  })

  it('reads a link of which little is said', () => {
    const common = { address: '02:00:00:00:00:01', mtu: 1500, flags: ['UP'] }
    expect([...parse({ ifname: 'eth0', ...common }, { ifname: 'lo' })]).to.deep.equal([
      [
        'eth0',
        {
          ...NOTHING,
          name: 'eth0',
          mac: '02:00:00:00:00:01',
          mtuBytes: 1500,
          isUp: true,
          flags: new Set(['UP']),
        },
      ],
      ['lo', { ...NOTHING, name: 'lo' }],
    ])
  })

  const { link_index: _index, link_netnsid: _nsid, ...near } = HOST_END
  const peers: readonly (readonly [string, object, object | undefined])[] = [
    ['in its own namespace', { ...near, link: 'p' }, { ifindex: 9, nsid: undefined }],
    ['that is gone', { ...near, link: null }, undefined],
    ['that has no name', near, undefined],
    [
      'in a namespace without a number',
      { ...HOST_END, link_netnsid: -1 },
      { ifindex: 2, nsid: undefined },
    ],
  ]
  for (const [what, link, peer] of peers)
    it(`reads a host end with a peer ${what}`, () => {
      const links = parse(link, { ifindex: 9, ifname: 'p', linkinfo: { info_kind: 'veth' } })
      expect(links.get(A)?.peer).to.deep.equal(peer)
    })

  it('reads a namespace that has nothing', () => {
    expect(parseLinks('').size).to.equal(0)
    expect(() => parseLinks('{}')).to.throw(DecodeError, 'expected a list')
  })
})

describe('sharesDevice()', () => {
  it('knows links that share another device', () => {
    const kinds = ['macvlan', 'ipvlan', 'macvtap', 'veth', '']
    const shared = kinds.filter((kind) => sharesDevice(newLink('eth0', { kind })))
    expect(shared).to.deep.equal(['macvlan', 'ipvlan'])
  })
})
