import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  isDeviceName,
  toFoundTapName,
  toHostEndName,
  toPodLinkName,
  toServerNames,
  toTapName,
} from '../../core/name.ts'

describe('toPodLinkName()', () => {
  // From KubeVirt v1.9.0: "pod" and the first 11 hex digits of sha256(name).
  const rows = [
    { network: 'red', want: 'podb1f51a511f1' },
    { network: 'blue', want: 'pod16477688c0e' },
  ]
  for (const { network, want } of rows)
    it(`names the pod link of "${network}" as KubeVirt does`, () => {
      expect(toPodLinkName(network)).to.equal(want)
    })
})

describe('toFoundTapName()', () => {
  it("is the primary network's for every link that is not a secondary one's", () => {
    for (const link of ['eth0', 'ens3', 'net1', 'pod1'])
      expect(toFoundTapName(link), link).to.equal('tap0')
    expect(toFoundTapName('pod16477688c0e')).to.equal('tap16477688c0e')
  })
})

describe('toServerNames()', () => {
  it('has names that fit, one pair for each tap', () => {
    expect(toServerNames('tap0')).to.deep.equal({ server: 'lws0', peer: 'lwp0' })
    const names = toServerNames('tap16477688c0e')
    expect(names).to.deep.equal({ server: 'lws16477688c0e', peer: 'lwp16477688c0e' })
    expect(isDeviceName(names.server)).to.equal(true)
  })
})

describe('toTapName()', () => {
  const rows = [
    { podLink: 'pod16477688c0e', want: 'tap16477688c0e' },
    { podLink: 'net1', want: 'tap1' },
    { podLink: 'eth0', want: 'tap0' },
  ]
  for (const { podLink, want } of rows)
    it(`names the tap of "${podLink}" as KubeVirt does`, () => {
      expect(toTapName(podLink)).to.equal(want)
    })
})

describe('toHostEndName()', () => {
  it('is a device name, stable, and different for every attachment', () => {
    const names = [
      toHostEndName('c1', 'eth1'),
      toHostEndName('c1', 'eth2'),
      toHostEndName('c2', 'eth1'),
    ]
    expect(new Set(names).size).to.equal(3)
    for (const name of names) expect(isDeviceName(name), name).to.equal(true)
    expect(names[0])
      .to.equal(toHostEndName('c1', 'eth1'))
      .and.match(/^lw[0-9a-f]{13}$/)
  })
})

describe('isDeviceName()', () => {
  const good = ['eth0', 'a', 'pod16477688c0e', 'abcdefghijklmno', 'eth0.100', 'ge-0_0']
  const bad = [
    '',
    '.',
    '..',
    'abcdefghijklmnop',
    'a/b',
    'a b',
    'a:b',
    'a#b',
    'a"b',
    "a'b",
    'a%d',
    'ä',
    'a\n',
    'a\\',
  ]
  for (const name of good)
    it(`takes ${JSON.stringify(name)}`, () => expect(isDeviceName(name)).to.equal(true))
  for (const name of bad)
    it(`refuses ${JSON.stringify(name)}`, () => expect(isDeviceName(name)).to.equal(false))
})
