// What is wrong with the documents of wires and VNIs, told without any node's word: documents that nobody
// needs, and nodes, agents and claims that should be there and are not.
import type { DoctorFacts } from './facts.ts'
import { newFinding, type Finding } from './finding.ts'
import { findOrphanVnis, findUnclaimedVnis } from '../wire/vni-orphans.ts'
import { describeEnd, ENDS_PER_WIRE, listNodes, toWireKey, type Wire } from '../wire/wire.ts'
import { listEndKeys } from '../wire/summary.ts'

export function findInStore(facts: DoctorFacts): readonly Finding[] {
  return [
    ...facts.unreadable.map((what) =>
      newFinding('unreadable', what, 'mend the document, or remove it', {}),
    ),
    ...facts.wires.flatMap((wire) => [
      ...findEmptyWire(wire),
      ...findGoneNodes(facts, wire),
      ...findUnjoinedNodes(wire),
      ...findFailedNodes(wire),
      ...findTargets(wire),
    ]),
    ...findVnis(facts),
    ...findAgents(facts),
    ...findMixedVersions(facts),
  ]
}

function findEmptyWire(wire: Wire): readonly Finding[] {
  if (listNodes(wire).length > 0 || wire.isUnplugged) return []
  const { namespace, name } = wire
  return [
    newFinding(
      'wire-stray',
      `Wire ${toWireKey(wire)} has no ends, and no node has anything of it`,
      `remove it: kubectl delete wires.l2wire.dev ${name} -n ${namespace}; without a cluster its file in the store`,
      { wire: toWireKey(wire) },
    ),
  ]
}

function findGoneNodes({ nodeNames }: DoctorFacts, wire: Wire): readonly Finding[] {
  if (nodeNames === undefined) return []
  const gone = listNodes(wire).filter((node) => !nodeNames.includes(node))
  return gone.map((node) => {
    const parts = [
      ...(wire.ends.some((end) => end.node === node) ? ['an end'] : []),
      ...(wire.standbys.some((one) => one.node === node) ? ['a sandbox that stands by'] : []),
      ...(wire.displaced.some((one) => one.node === node) ? ['a displaced sandbox'] : []),
      ...(wire.tunnelNodes.includes(node) ? ['a tunnel'] : []),
    ]
    return newFinding(
      'node-gone',
      `Wire ${toWireKey(wire)} has ${parts.join(' and ')} on node ${node}, which does not exist`,
      `the agents take it out within minutes; else take what names ${node} out of it: kubectl edit wires.l2wire.dev ${wire.name} -n ${wire.namespace}`,
      { node, wire: toWireKey(wire) },
    )
  })
}

/** Nodes of a wire that is to be joined which do not say that they joined it, and what they say. */
export function listUnjoinedNodes(wire: Wire): readonly (readonly [string, string | undefined])[] {
  if (wire.ends.length < ENDS_PER_WIRE || wire.isUnplugged) return []
  const keys = listEndKeys(wire).join()
  return [...new Set(wire.ends.map(({ node }) => node))].flatMap((node) => {
    const said = wire.reports.find((one) => one.node === node && one.ends.join() === keys)
    return said?.state === 'joined' ? [] : [[node, said?.message] as const]
  })
}

function findUnjoinedNodes(wire: Wire): readonly Finding[] {
  return listUnjoinedNodes(wire).map(([node, message]) =>
    newFinding(
      'not-joined',
      `Node ${node} has not joined wire ${toWireKey(wire)}${message === undefined ? '' : `: ${message}`}`,
      `kubectl l2wire describe ${wire.name} -n ${wire.namespace} tells more`,
      { node, wire: toWireKey(wire) },
    ),
  )
}

// Those beside the unjoined: an end alone, or a cable that is out, is to be brought somewhere, too.
function findFailedNodes(wire: Wire): readonly Finding[] {
  const unjoined = listUnjoinedNodes(wire).map(([node]) => node)
  const keys = listEndKeys(wire).join()
  return wire.reports
    .filter(
      ({ node, state, ends }) =>
        state === 'failed' && ends.join() === keys && !unjoined.includes(node),
    )
    .map(({ node, message = 'unknown' }) =>
      newFinding(
        'failed',
        `Node ${node} could not bring wire ${toWireKey(wire)} to where it should be: ${message}`,
        `the agent there tries again; kubectl l2wire describe ${wire.name} -n ${wire.namespace} tells more`,
        { node, wire: toWireKey(wire) },
      ),
    )
}

// Nothing is wrong: but whoever looks for a lost cable must know whose turn it is.
function findTargets(wire: Wire): readonly Finding[] {
  return wire.standbys
    .filter(({ isTarget }) => isTarget)
    .map((one) =>
      newFinding(
        'migration',
        `${describeEnd(one)} of wire ${toWireKey(wire)} stands by on node ${one.node} for a migration`,
        'nothing to do: it has the end once the guest runs there, and goes if the migration fails',
        { level: 'hint', node: one.node, wire: toWireKey(wire) },
      ),
    )
}

function findVnis(facts: DoctorFacts): readonly Finding[] {
  const { vniClaims, wires, namespace, unreadable, nowMs } = facts
  // A wire that could not be read, or was not, would count as gone.
  if (vniClaims === undefined || unreadable.length > 0) return []
  const claims = vniClaims.filter(
    ({ wire }) => namespace === undefined || wire.namespace === namespace,
  )
  const orphans = findOrphanVnis(claims, wires, nowMs).map(({ vni, wire }) =>
    newFinding(
      'vni-stray',
      `VNI ${vni} is claimed for wire ${toWireKey(wire)}, which does not use it`,
      `give it back: kubectl delete vniclaims.l2wire.dev ${vni}; without a cluster the file vni/${vni} in the store`,
      { wire: toWireKey(wire) },
    ),
  )
  const unclaimed = findUnclaimedVnis(vniClaims, wires).map((wire) =>
    newFinding(
      'vni-unclaimed',
      `Wire ${toWireKey(wire)} uses VNI ${wire.vni}, and holds no claim of it`,
      `take the cable out and put it back: kubectl l2wire unplug ${wire.name} -n ${wire.namespace}, then plug; if it stays, let one of its agents start again`,
      { wire: toWireKey(wire) },
    ),
  )
  return [...orphans, ...unclaimed]
}

function findAgents({ agents, wires, nodeNames }: DoctorFacts): readonly Finding[] {
  if (agents === undefined) return []
  const nodes = [...new Set(wires.flatMap(({ ends }) => ends.map(({ node }) => node)))].sort()
  const remedy = 'kubectl -n l2wire get pods -o wide; kubectl -n l2wire describe pod tells why'
  return nodes
    .filter((node) => nodeNames?.includes(node) ?? true)
    .flatMap((node) => {
      const agent = agents.find((one) => one.node === node)
      if (agent?.isReady === true) return []
      const what =
        agent === undefined
          ? `Node ${node} holds ends of wires, and no agent is on it`
          : `The agent of node ${node}, pod ${agent.name}, is not ready`
      return [newFinding('no-agent', what, remedy, { node })]
    })
}

function findMixedVersions({ visits }: DoctorFacts): readonly Finding[] {
  const nodesOf = new Map<string, string[]>()
  for (const { node, survey } of visits)
    if (survey !== undefined)
      nodesOf.set(survey.version, [...(nodesOf.get(survey.version) ?? []), node])
  if (nodesOf.size < 2) return []
  const parts = [...nodesOf]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([version, nodes]) => `${version} on ${nodes.sort().join(', ')}`)
  return [
    newFinding(
      'versions-differ',
      `The agents are of different releases: ${parts.join('; ')}`,
      'let the rollout come to its end: kubectl -n l2wire rollout status daemonset/l2wire-agent',
      { level: 'hint' },
    ),
  ]
}
