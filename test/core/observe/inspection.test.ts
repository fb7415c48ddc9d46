import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import { decodeInspection, parseDevice } from '../../../core/observe/inspection.ts'

// As iproute2 6.1 prints them.
const LINK = {
  ifname: 'lx0123456789abc',
  flags: ['BROADCAST', 'NOARP', 'UP', 'LOWER_UP'],
  mtu: 9216,
  address: '4a:92:d3:fe:75:de',
  linkinfo: {
    info_kind: 'vxlan',
    info_data: { id: 4096, remote: '192.0.2.2', local: '192.0.2.1', port: 14789 },
  },
  stats64: {
    rx: { bytes: 640, packets: 10, errors: 1, dropped: 2 },
    tx: { bytes: 64, packets: 1, errors: 0, dropped: 0 },
  },
}
const FILTERS = [
  { protocol: 'all', pref: 1, kind: 'bpf', chain: 0 },
  {
    protocol: 'all',
    pref: 1,
    kind: 'bpf',
    options: {
      actions: [{ to_dev: 'lw1', stats: { bytes: 500, packets: 10, drops: 0, overlimits: 4 } }],
    },
  },
]

function readBelow(kind: string): unknown {
  const link = { ...LINK, link: 'eth1', linkinfo: { info_kind: kind } }
  return parseDevice(JSON.stringify([link]), '[]').below
}

describe('parseDevice()', () => {
  it('reads a tunnel and its redirect', () => {
    expect(parseDevice(JSON.stringify([LINK]), JSON.stringify(FILTERS))).to.deep.equal({
      name: 'lx0123456789abc',
      isUp: true,
      hasCarrier: true,
      mac: '4a:92:d3:fe:75:de',
      mtuBytes: 9216,
      received: { frames: 10, bytes: 640, dropped: 3 },
      sent: { frames: 1, bytes: 64, dropped: 0 },
      redirect: { target: 'lw1', frames: 10, dropped: 4 },
      vxlan: { vni: 4096, local: '192.0.2.1', remote: '192.0.2.2', port: 14789 },
      below: null,
    })
  })

  it('reads what a macvtap lies on, which a veth, whose peer ip-link calls the same, has not', () => {
    expect([readBelow('macvtap'), readBelow('veth')]).to.deep.equal(['eth1', null])
  })

  it('reads what takes all that picks before it have left', () => {
    const targets = ['lwp0', 'lwp0', 'eth0']
    const filters = JSON.stringify(
      targets.map((target) => ({ options: { actions: [{ to_dev: target }] } })),
    )
    expect(parseDevice(JSON.stringify([LINK]), filters).redirect?.target).to.equal('eth0')
  })

  it('reads addresses of IPv6', () => {
    const data = { id: 1, remote6: '2001:db8::2', local6: '2001:db8::1', port: 1 }
    const link = { ...LINK, linkinfo: { info_kind: 'vxlan', info_data: data } }
    const { vxlan } = parseDevice(JSON.stringify([link]), '[]')
    expect(vxlan).to.include({ local: '2001:db8::1', remote: '2001:db8::2' })
  })

  it('reads a link that says little, and no redirect', () => {
    const device = parseDevice('[{"ifname":"eth1","linkinfo":{"info_kind":"veth"}}]', '')
    expect(device).to.include({ name: 'eth1', isUp: false, hasCarrier: false, mtuBytes: 0 })
    expect(device.redirect).to.equal(null)
    expect(device.vxlan).to.equal(null)
  })

  for (const json of ['', '[]', '[{}]', '{}'])
    it(`refuses ${json === '' ? 'nothing' : json}`, () => {
      expect(() => parseDevice(json, '[]')).to.throw(DecodeError)
    })
})

describe('decodeInspection()', () => {
  it('takes what inspect prints', () => {
    const inspection = { node: 'n1', ends: [], tunnel: null, findings: [], unseen: [] }
    expect(decodeInspection(inspection, 'n1')).to.deep.equal(inspection)
  })
  for (const value of [undefined, 7, {}, { node: 'n1', ends: [1] }])
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(() => decodeInspection(value, 'n1')).to.throw(DecodeError, 'n1')
    })
})
