// All that the doctor is told: what the store has, what each node has, what nodes there are. Gathered by
// kubectl-l2wire; a node's part is printed by the same program on that node.
import type { Attachment } from './attachment.ts'
import type { AgentPod } from './cluster-list.ts'
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import type { NodeLink } from './node-observation.ts'
import type { VniClaim } from './vni-claim.ts'
import { toWireKey, type Wire } from './wire.ts'

export interface SurveyedAttachment {
  readonly attachment: Attachment
  /** Whether its network namespace is still the one it was made for. */
  readonly isSandboxThere: boolean
  /** Of a VM's tap only: whether that device is there. */
  readonly hasTap: boolean | null
  /** Of a macvtap only: whether the file of its device leads to it. Absent from surveys before 0.3.0. */
  readonly hasDevice?: boolean | null
  /** Of a VM's tap only, why others may speak in its place. Absent from surveys before 0.3.0. */
  readonly muteFault?: string | null
  /** Since its document was last written. */
  readonly ageSeconds: number
}

export interface SurveyedLink extends NodeLink {
  readonly name: string
}

/** Everything of ours on one node. */
export interface NodeSurvey {
  readonly version: string
  readonly attachments: readonly SurveyedAttachment[]
  /** Documents of the state directory that cannot be read, a sentence each. */
  readonly unreadable: readonly string[]
  readonly links: readonly SurveyedLink[]
  /** Devices that are named as ours are, and are not marked as ours. */
  readonly foreign: readonly string[]
  /** "192.0.2.2 4096": who may send to a tunnel, and with which VNI. */
  readonly peers: readonly string[]
  readonly hasTable: boolean
  /** Whether a kubelet is in its folder of device plugins; null without that folder. Absent from surveys before 0.3.0. */
  readonly hasKubelet?: boolean | null
}

/** One node, or why nobody could look at it. */
export interface NodeVisit {
  readonly node: string
  readonly survey: NodeSurvey | undefined
  readonly fault: string | undefined
}

export interface DoctorFacts {
  /** The one namespace whose wires were read; undefined: all. */
  readonly namespace: string | undefined
  readonly wires: readonly Wire[]
  /** Wires' documents that cannot be read, a sentence each. */
  readonly unreadable: readonly string[]
  /** Undefined where they could not be read; so are the two below. */
  readonly vniClaims: readonly VniClaim[] | undefined
  readonly nodeNames: readonly string[] | undefined
  /** Undefined without a cluster. */
  readonly agents: readonly AgentPod[] | undefined
  readonly visits: readonly NodeVisit[]
  /** In milliseconds since 1970. */
  readonly nowMs: number
}

export function findWire(facts: DoctorFacts, key: string): Wire | undefined {
  return facts.wires.find((wire) => toWireKey(wire) === key)
}

/** Whether a wire that is not among those that were read does not exist. */
export function isAbsenceKnown({ namespace, unreadable }: DoctorFacts, key: string): boolean {
  return unreadable.length === 0 && (namespace === undefined || key.startsWith(`${namespace}/`))
}

const LISTS = ['attachments', 'unreadable', 'links', 'foreign', 'peers'] as const

/** What kubectl-l2wire printed on a node. Throws DecodeError. */
export function decodeSurvey(json: string, path: string): NodeSurvey {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new DecodeError(path, json, 'a survey as JSON', { cause })
  }
  if (!isRecord(value)) throw new DecodeError(path, value, 'a survey')
  for (const key of LISTS)
    if (!Array.isArray(value[key])) throw new DecodeError(`${path}: ${key}`, value[key], 'a list')
  if (typeof value['version'] !== 'string')
    throw new DecodeError(`${path}: version`, value['version'], 'a release')
  return value as unknown as NodeSurvey
}
