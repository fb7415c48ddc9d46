import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Step } from '../../../core/steps/step.ts'
import { diff } from '../../../core/steps/diff.ts'
import { newObservation, type SampleLink } from '../samples.ts'

const NETNS = { netns: '/run/netns/x' }

describe('diff() of a link that is to be set', () => {
  const link: SampleLink = { name: 'tap0', kind: 'macvlan', mtuBytes: 1500, alias: 'mine' }
  const SET = { op: 'set-link', ...NETNS, dev: 'tap0' } as const
  const WANTED: Step = {
    ...SET,
    mtuBytes: 1500,
    isSilent: true,
    hearsAll: true,
    isPromiscuous: true,
    alias: 'mine',
    up: true,
  }
  const ALL = new Set(['UP', 'NOARP', 'ALLMULTI', 'PROMISC'])
  for (const [name, more, want] of [
    ['nothing of one that is as it should be', { flags: ALL }, []],
    [
      'the MTU, and the silence with it: IPv6 may come anew',
      { flags: ALL, mtuBytes: 1400 },
      [{ ...SET, mtuBytes: 1500, isSilent: true }],
    ],
    ['the silence alone', { flags: new Set([...ALL, 'MULTICAST']) }, [{ ...SET, isSilent: true }]],
    ['the alias alone', { flags: ALL, alias: 'yours' }, [{ ...SET, alias: 'mine' }]],
    ['that it is up', { flags: ALL, isUp: false }, [{ ...SET, up: true }]],
    [
      'what it takes',
      { flags: new Set(['UP', 'NOARP']) },
      [{ ...SET, hearsAll: true, isPromiscuous: true }],
    ],
    [
      'what one takes that shares no device',
      { flags: new Set(['UP', 'NOARP']), kind: 'veth' },
      [{ ...SET, isPromiscuous: true }],
    ],
    [
      'several at once, as one step',
      { flags: new Set(['NOARP', 'PROMISC']), isUp: false, alias: '' },
      [{ ...SET, hearsAll: true, alias: 'mine', up: true }],
    ],
  ] as const)
    it(`leaves ${name}`, () => {
      const seen = newObservation([{ ...link, ...more }])
      expect(diff([WANTED], seen, 'bpf')).to.deep.equal(want)
    })
  it('lets one speak again that somebody made silent', () => {
    const speak: Step = { ...SET, isSilent: false, mtuBytes: 1500 }
    const leave = (...flags: readonly string[]): readonly Step[] =>
      diff([speak], newObservation([{ ...link, flags: new Set(['UP', ...flags]) }]), 'bpf')
    expect(leave('MULTICAST')).to.deep.equal([])
    for (const flags of [['NOARP', 'MULTICAST'], []])
      expect(leave(...flags)).to.deep.equal([{ ...SET, isSilent: false }])
  })
  it('leaves all of one that is not there', () => {
    expect(diff([WANTED], newObservation([]), 'bpf')).to.deep.equal([WANTED])
  })
  it('leaves alone what the step does not say', () => {
    const seen = newObservation([{ ...link, mtuBytes: 9000, isUp: false, alias: 'yours' }])
    expect(diff([{ ...SET, isSilent: true }], seen, 'bpf')).to.deep.equal([])
  })
  it('is silent, whatever becomes of addresses that nobody has read', () => {
    const seen = newObservation([link])
    const silent: Step = { ...SET, isSilent: true }
    expect(seen.addresses).to.equal(undefined)
    expect(diff([silent], seen, 'bpf')).to.deep.equal([])
    const addresses = new Map([['tap0', ['fe80::1/64']]])
    expect(diff([silent], { ...seen, addresses }, 'bpf')).to.deep.equal([silent])
  })
  it('goes down first where it is to have IPv6 again, and to be down', () => {
    const seen = newObservation([{ ...link, mtuBytes: 1000 }])
    const down: Step = { ...SET, mtuBytes: 1500, isSilent: true, up: false }
    expect(diff([down], seen, 'bpf')[0]).to.deep.equal({ ...SET, up: false })
  })
})
