import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newFinding } from '../../../core/doctor/finding.ts'
import { findInWire } from '../../../core/doctor/wire.ts'
import { listFreeVnis } from '../../../core/wire/vni.ts'
import { claimEnd } from '../../../core/wire/ends.ts'
import type { WireEvent, WireFacts } from '../../../core/wire/facts.ts'
import { changeLook, newClaim, newFacts, toHost } from '../view/samples.ts'
import { catchRefusal } from '../samples.ts'

const [a, b] = [newClaim(1), newClaim(2)]
const near = newClaim(2, { node: 'n1' })
const across = newFacts([a, b])
const local = newFacts([a, near])

// What an agent says when it fails so: the rule must know the words that are really used.
const thirdEnd = catchRefusal(() =>
  claimEnd(across.wire, across.wire, newClaim(1, { holder: 'pod/h3' })),
).message
const exhausted = catchRefusal(() => listFreeVnis({ first: 5, last: 5 }, new Set([5]), 5).next())

function withReport(
  facts: WireFacts,
  node: string,
  error: { readonly message: string; readonly code?: number },
): WireFacts {
  const { message, code } = error
  const failed = { state: 'failed' as const, message, ...(code === undefined ? {} : { code }) }
  const reports = facts.wire.reports.map((report) =>
    report.node === node ? { ...report, ...failed } : report,
  )
  return { ...facts, wire: { ...facts.wire, reports } }
}

function newEvent(more: Partial<WireEvent>): WireEvent {
  const words = { type: 'Warning', reason: 'WireRefused', object: 'Pod/h3', message: thirdEnd }
  return { time: '2026-11-21T12:00:00Z', ...words, ...more }
}

const rows: readonly {
  name: string
  facts: WireFacts
  kinds: readonly string[]
  words?: readonly string[]
}[] = [
  { name: 'a wire across nodes that is well', facts: across, kinds: [] },
  { name: 'a wire on one node that is well', facts: local, kinds: [] },
  {
    name: 'nobody is plugged in',
    facts: newFacts([]),
    kinds: ['no-ends'],
    words: ['namespace lab', '"r1-h1"'],
  },
  {
    name: 'one end waits for the other',
    facts: newFacts([a]),
    kinds: ['no-far-end'],
    words: ['Only pod/h1 eth1', 'namespace lab', '"r1-h1"'],
  },
  {
    name: 'somebody took the cable out',
    facts: { ...across, wire: { ...across.wire, isUnplugged: true, reports: [] } },
    kinds: ['unplugged'],
    words: ['spec.unplugged', 'kubectl l2wire plug r1-h1 -n lab'],
  },
  {
    name: 'the cable is out before anybody plugs in',
    facts: { ...newFacts([]), wire: { ...newFacts([]).wire, isUnplugged: true } },
    kinds: ['unplugged'],
  },
  {
    name: 'the far end has its interface down',
    facts: newFacts([a, newClaim(2, { isUp: false })]),
    kinds: ['pod-end-down'],
    words: ['pod/h2 eth1', 'its owner has the interface down'],
  },
  {
    name: 'a node has not joined its end',
    facts: { ...across, wire: { ...across.wire, reports: across.wire.reports.slice(0, 1) } },
    kinds: ['not-joined'],
    words: ['n2'],
  },
  {
    name: 'a node that has not joined and cannot be looked at says why',
    facts: {
      ...across,
      wire: { ...across.wire, reports: across.wire.reports.slice(0, 1) },
      looks: [{ node: 'n2', inspection: undefined, reason: 'no agent is on it' }],
    },
    kinds: ['not-joined'],
    words: ['no agent is on it'],
  },
  {
    name: 'a node failed',
    facts: withReport(across, 'n2', { message: 'the kernel refused' }),
    kinds: ['node-failed'],
    words: ['n2', 'the kernel refused', 'log'],
  },
  {
    name: 'a report about other sandboxes is old',
    facts: {
      ...across,
      wire: {
        ...across.wire,
        reports: [
          { node: 'n1', state: 'failed', ends: ['x@eth1'], message: 'old' },
          ...across.wire.reports.slice(1),
        ],
      },
    },
    kinds: ['not-joined'],
  },
  {
    name: 'VNIs are used up',
    facts: withReport(across, 'n2', exhausted),
    kinds: ['vni-exhausted'],
    words: ['--vni-range'],
  },
  {
    name: 'an agent without an underlay',
    facts: newFacts([newClaim(1, { address: '127.0.0.1' }), b], { looks: [] }),
    kinds: ['no-underlay'],
    words: ['n1', '--underlay-address'],
  },
  {
    name: 'two MTUs',
    facts: newFacts([a, newClaim(2, { mtuBytes: 9000 })]),
    kinds: ['mtu-differs'],
    words: ['1450', '9000', 'pod/h2'],
  },
  {
    name: "an end's pod is gone",
    facts: { ...across, gonePods: ['h2'] },
    kinds: ['pod-gone'],
    words: ['h2', 'n2'],
  },
  {
    name: 'a third end was refused',
    facts: { ...across, events: [newEvent({})] },
    kinds: ['third-end'],
    words: ['pod/h3', 'pod/h1 eth1 and pod/h2 eth1', 'another wire'],
  },
  {
    name: "a refusal is told once, though kubelet tells it too and a VM's object as well",
    facts: {
      ...across,
      events: [
        newEvent({}),
        newEvent({ object: 'VirtualMachineInstance/h3' }),
        newEvent({ reason: 'FailedCreatePodSandBox', message: `rpc error: "${thirdEnd}": more` }),
      ],
    },
    kinds: ['third-end'],
  },
  {
    name: 'a refusal that only kubelet tells',
    facts: {
      ...across,
      events: [newEvent({ reason: 'FailedCreatePodSandBox', message: `rpc error: ${thirdEnd}` })],
    },
    kinds: ['third-end'],
  },
  {
    name: 'who holds an end by now was refused once, and that is over',
    facts: { ...across, events: [newEvent({ object: 'Pod/h2' })] },
    kinds: [],
  },
  {
    name: "another wire's refusal",
    facts: {
      ...across,
      events: [newEvent({ message: thirdEnd.replace('lab/r1-h1', 'lab/r1-h10') })],
    },
    kinds: [],
  },
  {
    name: 'what an agent finds',
    facts: changeLook(across, 'n1', (inspection) => ({
      ...inspection,
      findings: [newFinding('redirect', `"${toHost(a)}" leads to ""`, 'wait', { node: 'n1' })],
    })),
    kinds: ['redirect'],
    words: [toHost(a), 'leads to ""', 'wait'],
  },
]

describe('findInWire()', () => {
  for (const { name, facts, kinds, words = [] } of rows)
    it(name, () => {
      const findings = findInWire(facts)
      expect(findings.map(({ kind }) => kind)).to.deep.equal(kinds)
      const text = findings.map(({ what, remedy }) => `${what}. ${remedy}`).join('\n')
      for (const word of words) expect(text).to.include(word)
      for (const { remedy } of findings) expect(remedy).to.not.equal('')
    })
})
