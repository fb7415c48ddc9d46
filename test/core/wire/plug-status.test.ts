import { expect } from 'chai'
import { describe, it } from 'mocha'

import { describePlugging, listLaggards } from '../../../core/wire/plug-status.ts'
import { toAttachmentKey, type NodeReport, type Wire } from '../../../core/wire/wire.ts'
import { newClaim, newFacts } from '../view/samples.ts'

const [a, b] = [newClaim(1), newClaim(2)]
const joined = newFacts([a, b]).wire
const alone = newFacts([a]).wire
const none = newFacts([]).wire
const vm = newFacts([{ ...a, holder: 'vm/r1' }, b]).wire
const out = (wire: Wire): Wire => ({ ...wire, isUnplugged: true })
const saying = (wire: Wire, ...states: readonly NodeReport['state'][]): Wire => ({
  ...wire,
  reports: states.map((state, at) => ({
    node: `n${at + 1}`,
    state,
    ends: wire.ends.map(toAttachmentKey).sort(),
  })),
})
const telling = (reason: string, message?: string): Wire => ({
  ...vm,
  reports: saying(vm, 'waiting').reports.map((one) => ({
    ...one,
    guests: [{ end: toAttachmentKey(a), reason, message }],
  })),
})

describe('listLaggards()', () => {
  const rows: readonly { name: string; wire: Wire; want: readonly string[] }[] = [
    { name: 'both nodes still have it joined', wire: out(joined), want: ['n1', 'n2'] },
    { name: 'one took it out', wire: out(saying(joined, 'waiting', 'joined')), want: ['n2'] },
    { name: 'both took it out', wire: out(saying(joined, 'waiting', 'waiting')), want: [] },
    { name: 'a node that never said anything', wire: out(saying(joined, 'waiting')), want: ['n2'] },
    { name: 'nobody is at its ends', wire: out(none), want: [] },
    { name: 'both are in again', wire: joined, want: [] },
    { name: 'one is in again', wire: saying(joined, 'joined', 'waiting'), want: ['n2'] },
    { name: 'a failure is no plug', wire: saying(joined, 'failed', 'joined'), want: ['n1'] },
    { name: 'an end alone need not be joined', wire: saying(alone, 'waiting'), want: [] },
    {
      name: 'what was said of other sandboxes does not count',
      wire: { ...joined, reports: joined.reports.map((one) => ({ ...one, ends: ['x@eth1'] })) },
      want: ['n1', 'n2'],
    },
  ]
  for (const { name, wire, want } of rows)
    it(name, () => {
      expect(listLaggards(wire)).to.deep.equal(want)
    })
})

describe('describePlugging()', () => {
  const rows: readonly { wire: Wire | undefined; want: string }[] = [
    { wire: out(joined), want: 'unplugged: pod/h1 eth1 and pod/h2 eth1 have no carrier' },
    { wire: out(alone), want: 'unplugged: pod/h1 eth1 has no carrier' },
    { wire: out(none), want: 'unplugged: nobody is at its ends, whoever comes has no carrier' },
    {
      wire: out(vm),
      want: 'unplugged: vm/r1 eth1 and pod/h2 eth1 have no carrier; vm/r1 eth1: node n1 has not said yet whether its guest is shown the carrier',
    },
    {
      wire: out(telling('NotAsked', 'its network does not ask for it')),
      want: 'unplugged: vm/r1 eth1 and pod/h2 eth1 have no carrier; the guest of vm/r1 eth1 is not shown the carrier: its network does not ask for it',
    },
    {
      wire: out(telling('Shown')),
      want: 'unplugged: vm/r1 eth1 and pod/h2 eth1 have no carrier',
    },
    { wire: joined, want: 'plugged in: both ends are joined' },
    { wire: alone, want: 'plugged in: only pod/h1 eth1 is plugged in' },
    {
      wire: undefined,
      want: 'plugged in again: nobody is at its ends, and nothing is kept of it',
    },
  ]
  for (const { wire, want } of rows)
    it(want, () => {
      expect(describePlugging(wire)).to.equal(want)
    })
})
