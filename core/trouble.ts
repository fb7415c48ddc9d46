// What is wrong with a wire, and the cure: a rule for each thing that is known to go wrong.
import type { Device } from './inspection.ts'
import { toHostDeviceName, toTunnelDeviceName } from './name.ts'
import { hasMtuMismatch, listEndKeys } from './wire-summary.ts'
import { describeEnd, ENDS_PER_WIRE, toAttachmentKey, toWireKey, type EndClaim } from './wire.ts'
import {
  findEndLook,
  findLook,
  findTarget,
  isFarEndUp,
  listObjects,
  type WireEvent,
  type WireFacts,
} from './wire-facts.ts'

export interface Trouble {
  /** For programs; stable. */
  readonly kind: string
  /** A sentence without its full stop. */
  readonly what: string
  readonly cure: string
}

type Rule = (facts: WireFacts) => readonly Trouble[]

/** Each thing that is wrong once, the most telling first. */
export function findTroubles(facts: WireFacts): readonly Trouble[] {
  const troubles = RULES.flatMap((rule) => rule(facts))
  return troubles.filter(
    ({ kind, what }, at) =>
      troubles.findIndex((one) => one.kind === kind && one.what === what) === at,
  )
}

const AGENT_LOG = 'see the log of the agent on that node'

const findMissingEnds: Rule = ({ wire }) => {
  const { namespace, name, ends } = wire
  const cure = `attach a pod or VM of namespace ${namespace} to a network of type l2wire whose wire is "${name}"`
  const [only] = ends
  // Whoever took it out expects nobody yet.
  if (only === undefined && wire.isUnplugged) return []
  if (only === undefined)
    return [{ kind: 'no-ends', what: 'Nobody is plugged in', cure: `${cure}, and another one` }]
  if (ends.length === ENDS_PER_WIRE) return []
  return [{ kind: 'no-far-end', what: `Only ${describeEnd(only)} is plugged in`, cure }]
}

const findUnplugged: Rule = ({ wire }) =>
  wire.isUnplugged
    ? [
        {
          kind: 'unplugged',
          what: 'Somebody took the cable out (spec.unplugged of the wire)',
          cure: `kubectl l2wire plug ${wire.name} -n ${wire.namespace}`,
        },
      ]
    : []

const findDownEnds: Rule = ({ wire }) => wire.ends.filter(({ isUp }) => !isUp).map(toDownTrouble)

function toDownTrouble(end: EndClaim): Trouble {
  return {
    kind: 'pod-end-down',
    what: `${describeEnd(end)}: its owner has the interface down`,
    cure: `set it up in the pod: ip link set dev ${end.ifname} up`,
  }
}

const findGonePods: Rule = ({ wire, gonePods }) =>
  wire.ends.flatMap(({ holder, ifname, node, pod }) =>
    pod === undefined || !gonePods.includes(pod)
      ? []
      : [
          {
            kind: 'pod-gone',
            what: `${holder} ${ifname} is held for pod ${pod}, which does not exist any more`,
            cure: `start ${holder} again, which takes its end over; another holder gets the end once the agent on node ${node} sees that the sandbox is gone`,
          },
        ],
  )

const LOOPBACK = /^(127\.|::1$)/

const findNoUnderlay: Rule = ({ wire }) => {
  const isAcross = new Set(wire.ends.map(({ node }) => node)).size > 1
  const local = isAcross ? wire.ends.filter(({ address }) => LOOPBACK.test(address)) : []
  return local.map((end) => ({
    kind: 'no-underlay',
    what: `The ends are on two nodes, and the agent on ${end.node} has no underlay address (${end.address})`,
    cure: 'start that agent with --underlay-address and the node’s address that the others reach',
  }))
}

/** The words of agents' own errors, in reports and in pods' events. */
const CURES: readonly (readonly [string, RegExp, string])[] = [
  ['third-end', /both ends are taken/, 'unplug one of the two, or give the third another wire'],
  [
    'no-underlay',
    /expected underlay addresses that reach each other/,
    'start the agents with --underlay-address and an address that the others reach',
  ],
  ['vni-exhausted', /Cannot find a VNI/, 'start all agents with a larger --vni-range'],
  ['vni-taken', /Cannot use VNI/, 'leave "vni" out of the configuration, or ask for another one'],
]

const findFailedNodes: Rule = ({ wire }) =>
  wire.reports
    .filter(
      (report) => report.state === 'failed' && report.ends.join() === listEndKeys(wire).join(),
    )
    .map((report) => {
      const message = report.message ?? 'it does not say why'
      const [kind, , cure] = findCure(message) ?? ['node-failed', /./, AGENT_LOG]
      return { kind, what: `Node ${report.node} cannot join its end: ${message}`, cure }
    })

const REFUSED = 'WireRefused'

const findRefusals: Rule = ({ wire, events }) => {
  const isOurs = ({ message }: WireEvent): boolean => message.includes(`"${toWireKey(wire)}"`)
  // Kubelet tries again: who holds an end by now got through.
  const others = events.filter(({ object }) => !listObjects(wire).includes(object)).filter(isOurs)
  const told = others.filter(({ reason }) => reason === REFUSED)
  // The same words in kubelet's and Multus's wrapping, for what an agent did not tell itself.
  const wrapped = others.filter(
    ({ reason, message }) =>
      reason === 'FailedCreatePodSandBox' && !told.some((one) => message.includes(one.message)),
  )
  return [...told, ...wrapped].map(({ message }) => {
    const [kind, , cure] = findCure(message) ?? ['refused', /./, 'docs/errors.md explains it']
    const words = /Cannot .*/s.exec(message)?.[0] ?? message
    return { kind, what: words, cure }
  })
}

function findCure(message: string): readonly [string, RegExp, string] | undefined {
  return CURES.find(([, words]) => words.test(message))
}

const findUnjoinedNodes: Rule = ({ wire, looks }) => {
  if (wire.ends.length < ENDS_PER_WIRE || wire.isUnplugged) return []
  const keys = listEndKeys(wire).join()
  const said = wire.reports.filter(({ state, ends }) => state !== 'waiting' && ends.join() === keys)
  return [...new Set(wire.ends.map(({ node }) => node))]
    .filter((node) => !said.some((report) => report.node === node))
    .map((node) => {
      const fault = looks.find((look) => look.node === node)?.fault
      return {
        kind: 'not-joined',
        what: `Node ${node} has not joined its end${fault === undefined ? '' : ` (${fault})`}`,
        cure: `it takes a moment; else see whether node ${node} is ready and its agent runs`,
      }
    })
}

const findMtuMismatch: Rule = ({ wire }) =>
  hasMtuMismatch(wire)
    ? [
        {
          kind: 'mtu-differs',
          what: `The ends were told different MTUs: ${wire.ends.map((end) => `${describeEnd(end)} ${end.mtuBytes}`).join(', ')}`,
          cure: 'use one network, or give both the same "mtu", and recreate the pods',
        },
      ]
    : []

const findKernelFaults: Rule = (facts) =>
  facts.wire.ends.flatMap((end) => findEndFaults(facts, end))

function findEndFaults(facts: WireFacts, end: EndClaim): readonly Trouble[] {
  const { wire } = facts
  const look = findEndLook(facts, end)
  if (look === undefined) return []
  const name = toHostDeviceName(end.containerID, end.ifname)
  const on = `on ${end.node}`
  if (look.hostEnd === null)
    return [
      {
        kind: 'host-end-gone',
        what: `The host end ${name} of ${describeEnd(end)} is not there ${on}: its sandbox is gone`,
        cure: `start ${end.holder} anew; or let the agent on that node start again, which gives up what is gone`,
      },
    ]
  const target = findTarget(wire, end)
  if (target === undefined || wire.isUnplugged) return []
  const troubles: Trouble[] = isFarEndUp(wire, end)
    ? [...findJointFaults(name, look.hostEnd, target, on)]
    : []
  if (!look.hostEnd.hasCarrier && look.hostEnd.isUp) troubles.push(toDownTrouble(end))
  const isAcross = target === toTunnelDeviceName(toWireKey(wire))
  return isAcross ? [...troubles, ...findTunnelFaults(facts, end, name)] : troubles
}

function findJointFaults(name: string, device: Device, target: string, on: string): Trouble[] {
  const cure = AGENT_LOG
  if (!device.isUp)
    return [
      {
        kind: 'device-down',
        what: `${name} is down ${on}, though the far end is plugged in`,
        cure,
      },
    ]
  const leads = device.redirect?.target
  if (leads === target) return []
  const where =
    leads === undefined ? 'nowhere' : leads === '*' ? 'to a device that is gone' : `to ${leads}`
  return [{ kind: 'redirect', what: `${name} leads ${where} ${on}, expected ${target}`, cure }]
}

function findTunnelFaults(facts: WireFacts, end: EndClaim, hostEnd: string): readonly Trouble[] {
  const { wire } = facts
  const look = findLook(facts, end.node)
  const tunnel = look?.tunnel ?? null
  const name = toTunnelDeviceName(toWireKey(wire))
  const on = `on ${end.node}`
  const cure = AGENT_LOG
  if (tunnel === null)
    return [{ kind: 'no-tunnel', what: `The tunnel ${name} is not there ${on}`, cure }]
  const troubles: Trouble[] = findJointFaults(name, tunnel, hostEnd, on)
  const far = wire.ends.find((one) => toAttachmentKey(one) !== toAttachmentKey(end))
  const { vxlan } = tunnel
  if (
    vxlan !== null &&
    far !== undefined &&
    (vxlan.remote !== far.address || vxlan.vni !== wire.vni)
  )
    troubles.push({
      kind: 'tunnel-astray',
      what: `The tunnel ${on} sends to ${vxlan.remote} with VNI ${vxlan.vni}, expected ${far.address} with VNI ${wire.vni ?? 'none yet'}`,
      cure,
    })
  if (look?.isRemoteAllowed === false)
    troubles.push({
      kind: 'not-let-in',
      what: `The nftables table "inet l2wire" ${on} does not let in what ${vxlan?.remote ?? 'the far end'} sends`,
      cure: 'something else changed that table; let the agent on that node start again',
    })
  return troubles
}

const RULES: readonly Rule[] = [
  findUnplugged,
  findMissingEnds,
  findGonePods,
  findFailedNodes,
  findNoUnderlay,
  findUnjoinedNodes,
  findDownEnds,
  findKernelFaults,
  findMtuMismatch,
  findRefusals,
]
