import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toFilter } from '../../../core/steps/filter.ts'
import type { Step } from '../../../core/steps/step.ts'
import { diff } from '../../../core/steps/diff.ts'
import { newObservation, type SampleLink } from '../samples.ts'

const NETNS = { netns: '/run/netns/x' }

describe('diff() of a macvtap', () => {
  const ADD: Step = { op: 'add-macvtap', ...NETNS, dev: 'lm1', link: 'eth0', index: 7 }
  const NAME: Step = { op: 'rename-link', ...NETNS, dev: 'lm1', name: 'tap0' }
  const LEAD: Step = { op: 'add-redirect', ...NETNS, dev: 'eth0', target: 'tap0', into: 'ingress' }
  const leave = (...links: readonly SampleLink[]): readonly Step[] =>
    diff([ADD, NAME], newObservation(links), 'bpf')

  it('leaves nothing of one that has its own name', () => {
    expect(leave({ name: 'tap0' })).to.deep.equal([])
  })
  it('makes one anew whose making was cut off', () => {
    expect(leave()).to.deep.equal([ADD, NAME])
    expect(leave({ name: 'lm1' })).to.deep.equal([
      { op: 'del-link', ...NETNS, dev: 'lm1' },
      ADD,
      NAME,
    ])
  })
  it('leads to it what led to the one before', () => {
    const made = toFilter(LEAD, 'bpf')
    const filters = new Map([['eth0 ingress', made === undefined ? [] : [made.filter]]])
    const seen = { ...newObservation([{ name: 'eth0' }]), filters }
    expect(diff([ADD, NAME, LEAD], seen, 'bpf')).to.deep.equal([ADD, NAME, LEAD])
  })
})
