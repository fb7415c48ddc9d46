// What describe finds wrong with a wire: a rule for each thing that its documents and Events tell, and what its agents find.
import { CNI_CODE } from '../errors.ts'
import type { Finding } from './finding.ts'
import { hasMtuMismatch, listEndKeys } from '../wire/summary.ts'
import { ENDS_PER_WIRE, describeEnd, toWireKey } from '../wire/wire.ts'
import { listObjects, type WireEvent, type WireFacts } from '../wire/facts.ts'

type Draft = Pick<Finding, 'kind' | 'what' | 'remedy'> & Partial<Finding>

type Rule = (facts: WireFacts) => readonly Draft[]

/** Each thing that is wrong once, the most telling first. */
export function findInWire(facts: WireFacts): readonly Finding[] {
  const common = { level: 'wrong', node: null, wire: toWireKey(facts.wire) } as const
  const findings = RULES.flatMap((rule) => rule(facts)).map((one) => ({ ...common, ...one }))
  return findings.filter(
    ({ kind, what }, at) =>
      findings.findIndex((one) => one.kind === kind && one.what === what) === at,
  )
}

const AGENT_LOG = 'see the log of the agent on that node'

const findMissingEnds: Rule = ({ wire }) => {
  const { namespace, name, ends } = wire
  const remedy = `attach a pod or VM of namespace ${namespace} to a network of type l2wire whose wire is "${name}"`
  const [only] = ends
  // Whoever took it out expects nobody yet.
  if (only === undefined && wire.isUnplugged) return []
  if (only === undefined)
    return [{ kind: 'no-ends', what: 'Nobody is plugged in', remedy: `${remedy}, and another one` }]
  if (ends.length === ENDS_PER_WIRE) return []
  return [{ kind: 'no-far-end', what: `Only ${describeEnd(only)} is plugged in`, remedy }]
}

const findUnplugged: Rule = ({ wire }) =>
  wire.isUnplugged
    ? [
        {
          kind: 'unplugged',
          what: 'Somebody took the cable out (spec.unplugged of the wire)',
          remedy: `kubectl l2wire plug ${wire.name} -n ${wire.namespace}`,
        },
      ]
    : []

const findDownEnds: Rule = ({ wire }) =>
  wire.ends
    .filter(({ isUp }) => !isUp)
    .map((end) => ({
      kind: 'pod-end-down',
      what: `${describeEnd(end)}: its owner has the interface down`,
      remedy: `set it up in the pod: ip link set dev ${end.ifname} up`,
    }))

const findGonePods: Rule = ({ wire, gonePods }) =>
  wire.ends.flatMap(({ holder, ifname, node, pod }) =>
    pod === undefined || !gonePods.includes(pod)
      ? []
      : [
          {
            kind: 'pod-gone',
            what: `${holder} ${ifname} is held for pod ${pod}, which does not exist any more`,
            remedy: `start ${holder} again, which takes its end over; another holder gets the end once the agent on node ${node} sees that the sandbox is gone`,
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
    remedy:
      'start that agent with --underlay-address and an address of its node that the others reach',
  }))
}

interface Refusal {
  readonly kind: string
  readonly code: number
  /** The error's own words: all that an event of a pod has of it. */
  readonly words: RegExp
  readonly remedy: string
}

const REFUSALS: readonly Refusal[] = [
  {
    kind: 'third-end',
    code: CNI_CODE.WIRE_FULL,
    words: /both ends are taken/,
    remedy: 'unplug one of the two, or give the third another wire',
  },
  {
    kind: 'no-underlay',
    code: CNI_CODE.NO_UNDERLAY,
    words: /expected underlay addresses that reach each other/,
    remedy: 'start the agents with --underlay-address and an address that the others reach',
  },
  {
    kind: 'vni-exhausted',
    code: CNI_CODE.VNI_EXHAUSTED,
    words: /Cannot find a VNI/,
    remedy: 'start all agents with a larger --vni-range',
  },
  {
    kind: 'vni-taken',
    code: CNI_CODE.VNI_TAKEN,
    words: /Cannot use VNI/,
    remedy: 'leave "vni" out of the configuration, or ask for another one',
  },
]

const findFailedNodes: Rule = ({ wire }) =>
  wire.reports
    .filter(
      (report) => report.state === 'failed' && report.ends.join() === listEndKeys(wire).join(),
    )
    .map(({ node, code, message = 'it does not say why' }) => {
      const known = REFUSALS.find((one) => one.code === code)
      const { kind, remedy } = known ?? { kind: 'node-failed', remedy: AGENT_LOG }
      return { kind, what: `Node ${node} cannot join its end: ${message}`, remedy }
    })

const REFUSED_EVENT = 'WireRefused'

const findRefusals: Rule = ({ wire, events }) => {
  const isOurs = ({ message }: WireEvent): boolean => message.includes(`"${toWireKey(wire)}"`)
  // Kubelet tries again: who holds an end by now got through.
  const others = events.filter(({ object }) => !listObjects(wire).includes(object)).filter(isOurs)
  const told = others.filter(({ reason }) => reason === REFUSED_EVENT)
  // The same words in kubelet's and Multus's wrapping, for what an agent did not tell itself.
  const wrapped = others.filter(
    ({ reason, message }) =>
      reason === 'FailedCreatePodSandBox' && !told.some((one) => message.includes(one.message)),
  )
  return [...told, ...wrapped].map(({ message }) => {
    const known = REFUSALS.find((one) => one.words.test(message))
    const { kind, remedy } = known ?? { kind: 'refused', remedy: 'docs/errors.md explains it' }
    const words = /Cannot .*/s.exec(message)?.[0] ?? message
    return { kind, what: words, remedy }
  })
}

const findUnjoinedNodes: Rule = ({ wire, looks }) => {
  if (wire.ends.length < ENDS_PER_WIRE || wire.isUnplugged) return []
  const keys = listEndKeys(wire).join()
  const said = wire.reports.filter(({ state, ends }) => state !== 'waiting' && ends.join() === keys)
  return [...new Set(wire.ends.map(({ node }) => node))]
    .filter((node) => !said.some((report) => report.node === node))
    .map((node) => {
      const reason = looks.find((look) => look.node === node)?.reason
      return {
        kind: 'not-joined',
        what: `Node ${node} has not joined its end${reason === undefined ? '' : ` (${reason})`}`,
        remedy: `it takes a moment; else see whether node ${node} is ready and its agent runs`,
      }
    })
}

const findMtuMismatch: Rule = ({ wire }) =>
  hasMtuMismatch(wire)
    ? [
        {
          kind: 'mtu-differs',
          what: `The ends were told different MTUs: ${wire.ends.map((end) => `${describeEnd(end)} ${end.mtuBytes}`).join(', ')}`,
          remedy: 'use one network, or give both the same "mtu", and recreate the pods',
        },
      ]
    : []

const findInKernels: Rule = ({ looks }) =>
  looks.flatMap(({ inspection }) => inspection?.findings ?? [])

const RULES: readonly Rule[] = [
  findUnplugged,
  findMissingEnds,
  findGonePods,
  findFailedNodes,
  findNoUnderlay,
  findUnjoinedNodes,
  findDownEnds,
  findInKernels,
  findMtuMismatch,
  findRefusals,
]
