import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findTroubles } from '../../core/trouble.ts'
import { listFreeVnis } from '../../core/vni.ts'
import { claimEnd } from '../../core/wire.ts'
import type { WireEvent, WireFacts } from '../../core/wire-facts.ts'
import {
  changeEnd,
  changeLook,
  newClaim,
  newDevice,
  newFacts,
  toHost,
  TUNNEL,
} from './view/samples.ts'
import { catchRefusal } from './samples.ts'

const [a, b] = [newClaim(1), newClaim(2)]
const near = newClaim(2, { node: 'n1' })
const across = newFacts([a, b])
const local = newFacts([a, near])

// What an agent says when it fails so: the rule must know the words that are really used.
const thirdEnd = catchRefusal(() =>
  claimEnd(across.wire, across.wire, newClaim(1, { holder: 'pod/h3' })),
).message
const exhausted = catchRefusal(() =>
  listFreeVnis({ first: 5, last: 5 }, new Set([5])).next(),
).message

function withReport(facts: WireFacts, node: string, message: string): WireFacts {
  const reports = facts.wire.reports.map((report) =>
    report.node === node ? { ...report, state: 'failed' as const, message } : report,
  )
  return { ...facts, wire: { ...facts.wire, reports } }
}

function newEvent(more: Partial<WireEvent>): WireEvent {
  const words = { type: 'Warning', reason: 'WireRefused', object: 'Pod/h3', message: thirdEnd }
  return { time: '2026-11-21T12:00:00Z', ...words, ...more }
}

const changeFirst = (change: Parameters<typeof changeEnd>[1]): WireFacts =>
  changeLook(across, 'n1', (inspection) => changeEnd(inspection, change))

const vxlan = { vni: 4096, local: '192.0.2.1', remote: '192.0.2.9', port: 14789 }

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
    name: 'the far end has its interface down, so this host end is down',
    facts: changeLook(newFacts([a, newClaim(2, { isUp: false })]), 'n1', (inspection) =>
      changeEnd(inspection, { hostEnd: newDevice(toHost(a), TUNNEL, { isUp: false }) }),
    ),
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
      looks: [{ node: 'n2', inspection: undefined, fault: 'no agent is on it' }],
    },
    kinds: ['not-joined'],
    words: ['no agent is on it'],
  },
  {
    name: 'a node failed',
    facts: withReport(across, 'n2', 'the kernel refused'),
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
    name: 'a host end is gone',
    facts: changeFirst({ hostEnd: null }),
    kinds: ['host-end-gone'],
    words: [toHost(a), 'n1', 'pod/h1'],
  },
  {
    name: 'a host end is down',
    facts: changeFirst({ hostEnd: newDevice(toHost(a), TUNNEL, { isUp: false }) }),
    kinds: ['device-down'],
    words: [toHost(a)],
  },
  {
    name: 'a host end leads nowhere',
    facts: changeFirst({ hostEnd: newDevice(toHost(a)) }),
    kinds: ['redirect'],
    words: ['nowhere', TUNNEL],
  },
  {
    name: 'a host end leads to a device that is gone',
    facts: changeFirst({ hostEnd: newDevice(toHost(a), '*') }),
    kinds: ['redirect'],
    words: ['a device that is gone'],
  },
  {
    name: 'the owner has its interface down',
    facts: changeFirst({ hostEnd: newDevice(toHost(a), TUNNEL, { hasCarrier: false }) }),
    kinds: ['pod-end-down'],
    words: ['eth1', 'pod/h1', 'ip link set'],
  },
  {
    name: 'the tunnel is gone',
    facts: changeLook(across, 'n2', (look) => ({ ...look, tunnel: null })),
    kinds: ['no-tunnel'],
    words: [TUNNEL, 'n2'],
  },
  {
    name: 'the tunnel leads elsewhere',
    facts: changeLook(across, 'n1', (look) => ({
      ...look,
      tunnel: newDevice(TUNNEL, toHost(a), { vxlan }),
    })),
    kinds: ['tunnel-astray'],
    words: ['192.0.2.9', '192.0.2.2'],
  },
  {
    name: 'the node does not let the far end in',
    facts: changeLook(across, 'n1', (look) => ({ ...look, isRemoteAllowed: false })),
    kinds: ['not-let-in'],
    words: ['nftables', '192.0.2.2'],
  },
]

describe('findTroubles()', () => {
  for (const { name, facts, kinds, words = [] } of rows)
    it(name, () => {
      const troubles = findTroubles(facts)
      expect(troubles.map(({ kind }) => kind)).to.deep.equal(kinds)
      const text = troubles.map(({ what, cure }) => `${what}. ${cure}`).join('\n')
      for (const word of words) expect(text).to.include(word)
      for (const { cure } of troubles) expect(cure).to.not.equal('')
    })
})
