// A wire across two nodes, its stores, agents and kernels, all as they should be: tests change what they are
// about.
import type { WireAttachment } from '../../../core/attach/attachment.ts'
import type { DoctorFacts, NodeSurvey, SurveyedAttachment } from '../../../core/doctor/facts.ts'
import type { EndClaim, Wire } from '../../../core/wire/wire.ts'
import { newClaim, newFacts, toHost } from '../view/samples.ts'

export const NOW = Date.parse('2026-11-21T12:00:00Z')
const OLD = NOW - 3_600_000

export function newAttachment(end: EndClaim, more: Partial<WireAttachment> = {}): WireAttachment {
  return {
    version: 1,
    kind: 'wire',
    containerID: end.containerID,
    ifname: end.ifname,
    netns: { path: `/run/netns/${end.containerID}`, inode: 1, bootId: 'b' },
    network: 'r1-h1',
    phase: 'ready',
    wire: { namespace: 'lab', name: 'r1-h1' },
    holder: end.holder,
    node: end.node,
    mac: '02:00:00:00:00:01',
    mtuBytes: 1450,
    maxFrameBytes: 9216,
    hostDevice: toHost(end),
    ...more,
  }
}

export function newSurveyed(
  end: EndClaim,
  more: Partial<SurveyedAttachment> = {},
  phase: WireAttachment['phase'] = 'ready',
): SurveyedAttachment {
  const attachment = newAttachment(end, { phase })
  return { attachment, isSandboxThere: true, ageSeconds: 3600, ...more }
}

export function newSurvey(wire: Wire, node: string): NodeSurvey {
  return {
    version: '0.2.0',
    attachments: wire.ends.filter((end) => end.node === node).map((end) => newSurveyed(end)),
    unreadable: [],
    findings: [],
    unseen: [],
    port: 14_789,
  }
}

export function newDoctorFacts(wire: Wire, more: Partial<DoctorFacts> = {}): DoctorFacts {
  const nodes = ['n1', 'n2']
  return {
    namespace: undefined,
    wires: [wire],
    unreadable: [],
    vniClaims:
      wire.vni === undefined
        ? []
        : [{ vni: wire.vni, wire: { namespace: wire.namespace, name: wire.name }, sinceMs: OLD }],
    nodeNames: nodes,
    agents: nodes.map((node) => ({ node, name: `agent-${node}`, isReady: true })),
    around: undefined,
    visits: nodes.map((node) => ({ node, survey: newSurvey(wire, node), reason: undefined })),
    nowMs: NOW,
    ...more,
  }
}

export const [A, B] = [newClaim(1), newClaim(2)] as const
export const NEAR = newClaim(2, { node: 'n1' })
export const acrossWire = newFacts([A, B]).wire
export const localWire = newFacts([A, NEAR]).wire
export const aloneWire = newFacts([A]).wire

/** The facts with the first node's survey changed. */
export function changeSurvey(
  facts: DoctorFacts,
  change: (survey: NodeSurvey) => Partial<NodeSurvey>,
): DoctorFacts {
  const visits = facts.visits.map((visit) =>
    visit.node === 'n1' && visit.survey !== undefined
      ? { ...visit, survey: { ...visit.survey, ...change(visit.survey) } }
      : visit,
  )
  return { ...facts, visits }
}
