import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeMac, decodeMtu, deriveMac } from '../../../core/net/address.ts'
import { DecodeError } from '../../../core/errors.ts'

describe('decodeMac()', () => {
  const rows = [
    { in: '02:00:5E:10:00:01', want: '02:00:5e:10:00:01' },
    { in: '02-00-5e-10-00-01', want: '02:00:5e:10:00:01' },
  ]
  for (const row of rows)
    it(`takes ${row.in}`, () => {
      expect(decodeMac(row.in, 'mac')).to.equal(row.want)
    })
  const bad = [
    '',
    'zz',
    '01:00:5e:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
    '02:00:5e:10:00',
    7,
    null,
  ]
  for (const value of bad)
    it(`refuses ${JSON.stringify(value)} and names it`, () => {
      expect(() => decodeMac(value, 'mac')).to.throw(DecodeError, JSON.stringify(value))
    })
})

describe('decodeMtu()', () => {
  it('takes whole numbers of a link', () => {
    expect([68, 1500, 9216, 65535].map((mtu) => decodeMtu(mtu, 'mtu'))).to.deep.equal([
      68, 1500, 9216, 65535,
    ])
  })
  for (const value of [67, 65536, 1500.5, '1500', null])
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(() => decodeMtu(value, 'mtu')).to.throw(DecodeError, 'from 68 to 65535')
    })
})

describe('deriveMac()', () => {
  it('is a locally administered unicast MAC that depends on the words alone', () => {
    const mac = deriveMac('default', 'r1-r2', 'vm/r1', 'eth1')
    expect(decodeMac(mac, 'mac')).to.equal(mac)
    expect(Number.parseInt(mac.slice(0, 2), 16) & 3).to.equal(2)
    expect(deriveMac('default', 'r1-r2', 'vm/r1', 'eth1')).to.equal(mac)
    expect(deriveMac('default', 'r1-r2', 'vm/r1', 'eth2')).to.not.equal(mac)
  })
})
