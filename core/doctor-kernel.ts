// What is wrong in one node's kernel: devices, redirects and permissions that no attachment and no wire
// accounts for, and those that are not as the wires say.
import {
  findWire,
  isAbsenceKnown,
  type DoctorFacts,
  type NodeSurvey,
  type SurveyedLink,
} from './doctor-facts.ts'
import { listUnjoinedNodes } from './doctor-store.ts'
import { newFinding, type Finding } from './finding.ts'
import { toTunnelDeviceName } from './name.ts'
import {
  ENDS_PER_WIRE,
  holdsEnd,
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type Wire,
} from './wire.ts'
import { findTarget, isFarEndUp } from './wire-facts.ts'

export function findKernelFaults(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  return [
    ...findStrayHostEnds(node, survey),
    ...findHostEndFaults(facts, node, survey),
    ...survey.links
      .filter(({ kind }) => kind === 'tunnel')
      .flatMap((tunnel) => findTunnelFaults(facts, node, survey, tunnel)),
    ...findMissingTunnels(facts, node, survey),
    ...findGuardFaults(node, survey),
    ...survey.foreign.map((name) =>
      newFinding(
        'foreign-device',
        `Device ${name} on ${node} is named as ours are, and is not marked as ours: left alone`,
        'nothing to do where somebody else made it',
        { node, level: 'hint' },
      ),
    ),
  ]
}

const AGENT_LOG = 'see the log of the agent on that node; it mends this when it starts again'

/** The wire that a device of ours was made for, from its alias: "l2wire lab/r1-h1 …". */
function readWireKey({ alias }: SurveyedLink): string | null {
  return /^l2wire (\S+\/\S+)/.exec(alias)?.[1] ?? null
}

function findStrayHostEnds(node: string, survey: NodeSurvey): readonly Finding[] {
  // The document that is not readable may be this one's.
  if (survey.unreadable.length > 0) return []
  const needed = new Set(
    survey.attachments.flatMap(({ attachment }) =>
      attachment.kind === 'wire' ? [attachment.hostDevice] : [],
    ),
  )
  return survey.links
    .filter(({ kind, name }) => kind === 'host-end' && !needed.has(name))
    .map((link) =>
      newFinding(
        'host-end-stray',
        `The host end ${link.name} on ${node} (${link.alias}) belongs to no attachment`,
        `remove it on ${node}: ip link del dev ${link.name}`,
        { node, wire: readWireKey(link) },
      ),
    )
}

function findHostEndFaults(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  return survey.attachments.flatMap(({ attachment, isSandboxThere }) => {
    if (attachment.kind !== 'wire' || !isSandboxThere) return []
    const { phase, hostDevice } = attachment
    const key = toWireKey(attachment.wire)
    const link = survey.links.find(({ name }) => name === hostDevice)
    const wire = findWire(facts, key)
    if (link === undefined || (phase !== 'ready' && phase !== 'released')) return []
    const end = wire?.ends.find((one) => toAttachmentKey(one) === toAttachmentKey(attachment))
    if (end === undefined || wire === undefined) {
      // One that lost its end, or never had it, must lead nowhere.
      const isKnown = wire !== undefined || isAbsenceKnown(facts, key)
      return isKnown ? findLeadingFaults(node, key, link) : []
    }
    if (listUnjoinedNodes(wire).some(([name]) => name === node)) return []
    return findClaimedFaults(node, wire, end, link)
  })
}

function findLeadingFaults(node: string, key: string, link: SurveyedLink): readonly Finding[] {
  return [
    ...(link.isUp ? [newUpFinding(node, key, link, 'nobody is at the other end')] : []),
    ...(link.redirects.length > 0 ? [newRedirectFinding(node, key, link, undefined)] : []),
  ]
}

function findClaimedFaults(
  node: string,
  wire: Wire,
  end: EndClaim,
  link: SurveyedLink,
): readonly Finding[] {
  const key = toWireKey(wire)
  const target = findTarget(wire, end)
  if (target === undefined) return findLeadingFaults(node, key, link)
  const isRight = link.redirects.length === 1 && link.redirects[0] === target
  const why = wire.isUnplugged
    ? 'the cable is taken out'
    : isFarEndUp(wire, end)
      ? undefined
      : 'the far end is down'
  if (why !== undefined)
    return [
      ...(link.isUp ? [newUpFinding(node, key, link, why)] : []),
      ...(link.redirects.length === 0 || isRight
        ? []
        : [newRedirectFinding(node, key, link, target)]),
    ]
  return [
    ...(link.isUp
      ? []
      : [
          newFinding(
            'device-down',
            `${link.name} of wire ${key} is down on ${node}, though the far end is up`,
            `set it up on ${node}: ip link set dev ${link.name} up; or ${AGENT_LOG}`,
            { node, wire: key },
          ),
        ]),
    ...(isRight ? [] : [newRedirectFinding(node, key, link, target)]),
  ]
}

function newUpFinding(node: string, key: string, link: SurveyedLink, why: string): Finding {
  return newFinding(
    'device-up',
    `${link.name} of wire ${key} is up on ${node}, though ${why}`,
    `set it down on ${node}: ip link set dev ${link.name} down; or ${AGENT_LOG}`,
    { node, wire: key },
  )
}

function newRedirectFinding(
  node: string,
  key: string,
  { name, redirects }: SurveyedLink,
  target: string | undefined,
): Finding {
  const where = redirects.map((dev) => (dev === '*' ? 'to a device that is gone' : `to ${dev}`))
  const leads = where.length === 0 ? 'nowhere' : where.join(' and ')
  return newFinding(
    'redirect',
    `${name} of wire ${key} leads ${leads} on ${node}, expected ${target ?? 'nowhere'}`,
    AGENT_LOG,
    { node, wire: key },
  )
}

function findTunnelFaults(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
  tunnel: SurveyedLink,
): readonly Finding[] {
  const { name, vxlan, redirects } = tunnel
  const key = readWireKey(tunnel)
  const wire = key === null ? undefined : findWire(facts, key)
  const place = { node, wire: key }
  const isNamed = key !== null && toTunnelDeviceName(key) === name
  if (isNamed && wire === undefined && !isAbsenceKnown(facts, key)) return []
  if (wire === undefined || !isNamed || !wire.tunnelNodes.includes(node))
    return [
      newFinding(
        'tunnel-stray',
        `The tunnel ${name} on ${node} (${tunnel.alias}) belongs to no wire that has one there`,
        `remove it on ${node}: ip link del dev ${name}`,
        place,
      ),
    ]
  const own = wire.ends.find((end) => end.node === node)
  const far = wire.ends.find((end) => end.node !== node)
  if (own === undefined || far === undefined || vxlan === null) return []
  const isAstray =
    vxlan.remote !== far.address || vxlan.vni !== wire.vni || vxlan.local !== own.address
  if (isAstray)
    return [
      newFinding(
        'tunnel-astray',
        `The tunnel ${name} of wire ${key} on ${node} goes from ${vxlan.local} to ${vxlan.remote} with VNI ${vxlan.vni}, expected from ${own.address} to ${far.address} with VNI ${wire.vni ?? 'none yet'}`,
        AGENT_LOG,
        place,
      ),
    ]
  const isJoined = wire.ends.length === ENDS_PER_WIRE && !wire.isUnplugged
  const hostEnd = survey.attachments.find(
    ({ attachment }) =>
      attachment.kind === 'wire' && holdsEnd({ ...wire, ends: [own] }, attachment),
  )?.attachment
  if (!isJoined || hostEnd?.kind !== 'wire') return []
  if (listUnjoinedNodes(wire).some(([one]) => one === node)) return []
  return [
    ...(tunnel.isUp
      ? []
      : [
          newFinding(
            'device-down',
            `${name} of wire ${key} is down on ${node}, though both ends are plugged in`,
            `set it up on ${node}: ip link set dev ${name} up; or ${AGENT_LOG}`,
            place,
          ),
        ]),
    ...(redirects.length === 1 && redirects[0] === hostEnd.hostDevice
      ? []
      : [newRedirectFinding(node, toWireKey(wire), tunnel, hostEnd.hostDevice)]),
  ]
}

function findMissingTunnels(
  facts: DoctorFacts,
  node: string,
  survey: NodeSurvey,
): readonly Finding[] {
  return facts.wires
    .filter(({ tunnelNodes }) => tunnelNodes.includes(node))
    .filter(
      (wire) => !survey.links.some(({ name }) => name === toTunnelDeviceName(toWireKey(wire))),
    )
    .map((wire) =>
      newFinding(
        'no-tunnel',
        `Wire ${toWireKey(wire)} has a tunnel on ${node}, and the device ${toTunnelDeviceName(toWireKey(wire))} is not there`,
        AGENT_LOG,
        { node, wire: toWireKey(wire) },
      ),
    )
}

function findGuardFaults(node: string, survey: NodeSurvey): readonly Finding[] {
  const tunnels = survey.links.flatMap((link) =>
    link.vxlan === null ? [] : [{ link, vxlan: link.vxlan }],
  )
  const needed = new Map(tunnels.map(({ link, vxlan }) => [`${vxlan.remote} ${vxlan.vni}`, link]))
  const cure = `let the agent on ${node} start again`
  return [
    ...(survey.hasTable || tunnels.length === 0
      ? []
      : [
          newFinding(
            'no-guard',
            `The nftables table "inet l2wire" on ${node} is not there, or its rules are not: anybody may send into its tunnels`,
            `something else changed it; ${cure}`,
            { node },
          ),
        ]),
    ...[...needed]
      .filter(([peer]) => !survey.peers.includes(peer))
      .map(([peer, link]) =>
        newFinding(
          'not-let-in',
          `Node ${node} does not let in what ${peer.replace(' ', ' sends with VNI ')} (tunnel ${link.name})`,
          `something else changed the nftables table "inet l2wire"; ${cure}`,
          { node, wire: readWireKey(link) },
        ),
      ),
    ...survey.peers
      .filter((peer) => !needed.has(peer))
      .map((peer) => {
        const [address = '', vni = ''] = peer.split(' ')
        const set = address.includes(':') ? 'peers6' : 'peers4'
        return newFinding(
          'peer-stray',
          `Node ${node} lets in what ${address} sends with VNI ${vni}, and has no such tunnel`,
          `take it out on ${node}: nft delete element inet l2wire ${set} '{ ${address} . ${vni} }'`,
          { node },
        )
      }),
  ]
}
