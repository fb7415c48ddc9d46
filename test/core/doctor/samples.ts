// A wire across two nodes, its stores, agents and kernels, all as they should be: tests change what they are
// about.
import type { WireAttachment } from '../../../core/attachment.ts'
import type {
  DoctorFacts,
  NodeSurvey,
  SurveyedAttachment,
  SurveyedLink,
} from '../../../core/doctor-facts.ts'
import { toAttachmentKey, type EndClaim, type Wire } from '../../../core/wire.ts'
import { newClaim, newFacts, toHost, TUNNEL, WIRE_KEY } from '../view/samples.ts'

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
  return { attachment, isSandboxThere: true, hasTap: null, ageSeconds: 3600, ...more }
}

export function newHostEnd(end: EndClaim, redirects: readonly string[]): SurveyedLink {
  return {
    name: toHost(end),
    ifindex: 7,
    isUp: redirects.length > 0,
    hasCarrier: redirects.length > 0,
    mtuBytes: 9216,
    alias: `l2wire ${WIRE_KEY} ${end.holder} ${end.ifname}`,
    kind: 'host-end',
    redirects,
    vxlan: null,
  }
}

export function newTunnel(
  own: EndClaim,
  far: EndClaim,
  more: Partial<SurveyedLink> = {},
): SurveyedLink {
  const vxlan = { vni: 4096, local: own.address, remote: far.address, port: 14789 }
  return {
    ...newHostEnd(own, [toHost(own)]),
    name: TUNNEL,
    kind: 'tunnel',
    alias: `l2wire ${WIRE_KEY} vni 4096 port 14789 local ${own.address} remote ${far.address}`,
    vxlan,
    ...more,
  }
}

export function newSurvey(wire: Wire, node: string): NodeSurvey {
  const own = wire.ends.filter((end) => end.node === node)
  const far = wire.ends.find((end) => end.node !== node)
  const isIn = wire.ends.length === 2 && !wire.isUnplugged
  const partner = (end: EndClaim): readonly string[] => {
    const other = wire.ends.find((one) => toAttachmentKey(one) !== toAttachmentKey(end))
    if (other === undefined || !isIn) return []
    return [other.node === end.node ? toHost(other) : TUNNEL]
  }
  const [first] = own
  const tunnels = isIn && far !== undefined && first !== undefined ? [newTunnel(first, far)] : []
  return {
    version: '0.2.0',
    attachments: own.map((end) => newSurveyed(end)),
    unreadable: [],
    links: [...own.map((end) => newHostEnd(end, partner(end))), ...tunnels],
    foreign: [],
    peers: tunnels.map(({ vxlan }) => `${vxlan?.remote} ${vxlan?.vni}`),
    hasTable: true,
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
    visits: nodes.map((node) => ({ node, survey: newSurvey(wire, node), fault: undefined })),
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
