import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CniError } from '../../../core/errors.ts'
import { getPodLink, type VmiNetwork } from '../../../core/attach/pod-link.ts'
import type { ObservedLink } from '../../../core/observe/links.ts'
import { newLink } from '../samples.ts'

function newLinks(...names: readonly string[]): readonly ObservedLink[] {
  return names.map((name) => newLink(name))
}

function newNetwork(name: string, isPrimary?: boolean): VmiNetwork {
  return { name, isPrimary }
}

describe('getPodLink()', () => {
  it("prefers KubeVirt's hashed name, else takes the primary link", () => {
    expect(
      getPodLink(newNetwork('blue'), newLinks('lo', 'eth0', 'pod16477688c0e'), []).name,
    ).to.equal('pod16477688c0e')
    expect(getPodLink(newNetwork('default'), newLinks('lo', 'eth0'), []).name).to.equal('eth0')
  })
  it('takes the link that a plugin has moved the default routes to, not eth0', () => {
    const links = newLinks('lo', 'eth0', 'ovn-udn1', 'pod16477688c0e')
    for (const [devices, want] of [
      [['ovn-udn1'], 'ovn-udn1'],
      [['ovn-udn1', 'pod16477688c0e'], 'ovn-udn1'],
      [['ovn-udn1', 'eth0'], 'eth0'],
      [['pod16477688c0e'], 'eth0'],
      [[], 'eth0'],
    ] as const)
      for (const isPrimary of [true, undefined])
        expect(getPodLink(newNetwork('default', isPrimary), links, devices).name).to.equal(want)
    const several = newLinks('eth0', 'ens3', 'ens4')
    expect(() => getPodLink(newNetwork('default'), several, ['ens3', 'ens4']))
      .to.throw(CniError, 'through ens3, ens4')
      .with.property('code', 104)
  })
  it('takes the one link of default routes where no link has the name', () => {
    const links = newLinks('lo', 'ens3', 'ens4', 'pod16477688c0e')
    expect(getPodLink(newNetwork('default'), links, ['ens3']).name).to.equal('ens3')
    expect(getPodLink(newNetwork('default'), links, ['ens3', 'pod16477688c0e']).name).to.equal(
      'ens3',
    )
    for (const [devices, said] of [
      [[], 'through none'],
      [['ens3', 'ens4'], 'through ens3, ens4'],
      [['pod16477688c0e'], 'through none'],
    ] as const)
      expect(() => getPodLink(newNetwork('default'), links, devices), said)
        .to.throw(CniError, said)
        .with.property('code', 104)
  })
  it("gives a secondary network no other network's link", () => {
    const blue = newNetwork('blue', false)
    const links = newLinks('lo', 'eth0', 'pod16477688c0e')
    expect(getPodLink(blue, links, ['eth0']).name).to.equal('pod16477688c0e')
    for (const others of [newLinks('lo', 'eth0'), newLinks('lo', 'ens3')])
      expect(() => getPodLink(blue, others, ['eth0', 'ens3']))
        .to.throw(CniError, /"pod16477688c0e" is not among/)
        .with.property('code', 104)
    for (const devices of [['eth0'], []])
      expect(getPodLink(newNetwork('blue', true), newLinks('lo', 'eth0'), devices).name).to.equal(
        'eth0',
      )
  })
  it('names what it looked for and what there is', () => {
    expect(() => getPodLink(newNetwork('blue'), newLinks('lo', 'net1'), []))
      .to.throw(CniError, /"pod16477688c0e" is not among.*lo, net1.*or "eth0"/)
      .with.property('code', 104)
  })
})
