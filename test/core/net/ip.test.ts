import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import {
  contains,
  decodeCidr,
  decodeIp,
  decodeNicAddress,
  renderCidr,
  toNetwork,
} from '../../../core/net/ip.ts'

describe('decodeCidr()', () => {
  const spelled: readonly (readonly [string, string])[] = [
    ['10.0.0.2/24', '10.0.0.2/24'],
    ['FD00:0:0::2/64', 'fd00::2/64'],
    ['0:0:0:0:0:0:0:1/128', '::1/128'],
    ['::ffff:10.0.0.1/96', '::ffff:10.0.0.1/96'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ]
  for (const [text, expected] of spelled)
    it(`spells ${text} as the kernel does`, () => {
      expect(renderCidr(decodeCidr(text, 'x'))).to.equal(expected)
    })
  for (const text of ['', '/', '10.0.0.1/', '10.0.0.1/-1', '10.0.0.1/24/24', '1.2.3/8', '::1/1e1'])
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => decodeCidr(text, 'x')).to.throw(DecodeError, 'prefix length')
    })
})

describe('decodeIp()', () => {
  it('takes an address and nothing else', () => {
    expect(decodeIp('FE80::1', 'x')).to.equal('fe80::1')
    for (const text of ['10.0.0.1/24', 'fe80::1%eth0', 'x', null, 7])
      expect(() => decodeIp(text, 'x')).to.throw(DecodeError)
  })
})

describe('decodeNicAddress()', () => {
  it('takes what one NIC alone may have', () => {
    for (const text of ['223.255.255.254/30', '127.0.0.1/8', 'fe80::1/64'])
      expect(renderCidr(decodeNicAddress(text, 'x'))).to.equal(text)
    for (const text of ['224.0.0.5/24', '255.255.255.255/32', '0.0.0.0/8', 'ff02::1/128', '::/128'])
      expect(() => decodeNicAddress(text, 'x'), text).to.throw(DecodeError, 'of one NIC alone')
  })
})

describe('toNetwork()', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3/23', '10.1.2.0/23'],
    ['10.1.3.3/23', '10.1.2.0/23'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['fd00:1:2:3:4:5:6:7/52', 'fd00:1:2::/52'],
    ['fd00::1/64', 'fd00::/64'],
    ['2001:db8:ffff::/33', '2001:db8:8000::/33'],
    ['::1/0', '::/0'],
    ['1::/16', '1::/16'],
    ['::ffff:10.0.0.1/96', '::ffff:10.0.0.1/96'],
  ]
  for (const [text, expected] of rows)
    it(`of ${text} is ${expected}`, () => {
      expect(renderCidr(toNetwork(decodeCidr(text, 'x')))).to.equal(expected)
    })
})

describe('contains()', () => {
  for (const [network, address, want] of [
    ['10.0.0.0/24', '10.0.0.255', true],
    ['10.0.0.0/24', '10.0.1.0', false],
    ['10.0.0.7/32', '10.0.0.7', true],
    ['0.0.0.0/0', '10.0.0.7', true],
    ['0.0.0.0/0', 'fd00::1', false],
    ['fd00::/64', 'fd00::ffff:0:0:1', true],
    ['fd00::/64', 'fd00:0:0:1::1', false],
    ['default', '10.0.0.7', false],
  ] as const)
    it(`${address} is ${want ? '' : 'not '}in ${network}`, () => {
      expect(contains(network, address)).to.equal(want)
    })
})
