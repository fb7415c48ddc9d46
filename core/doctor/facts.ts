// All that the doctor is told: what the store has, what each node has, what nodes there are. Gathered by
// kubectl-l2wire; a node's part is printed by the same program on that node.
import { decodeAttachment, type Attachment } from '../attach/attachment.ts'
import type { AgentPod } from './cluster-list.ts'
import type { AroundFacts } from './around-facts.ts'
import { decodeFinding, type Finding } from './finding.ts'
import { flag, list, nullable, number, object, optional, parseJson, text } from '../shape.ts'
import type { VniClaim } from '../wire/vni.ts'
import { toWireKey, type Wire } from '../wire/wire.ts'

export interface SurveyedAttachment {
  readonly attachment: Attachment
  /** Whether its network namespace is still the one it was made for. */
  readonly isSandboxThere: boolean
  /** Since its document was last written. */
  readonly ageSeconds: number
}

/** What an agent says of its node's kernel. */
export interface NodeDiff {
  /** What is not as it should be. */
  readonly findings: readonly Finding[]
  /** What cannot be read, and why, a sentence each. */
  readonly unseen: readonly string[]
  /** The UDP port of its tunnels; null for a single node. */
  readonly port: number | null
}

/** Everything of ours on one node. Surveys of 0.3.0 have no diff. */
export interface NodeSurvey extends Partial<NodeDiff> {
  readonly version: string
  /** Why the agent cannot work, in its own words where it has any; null where it can. Absent where no agent has run. */
  readonly refusal?: string | null | undefined
  readonly attachments: readonly SurveyedAttachment[]
  /** Documents of the state directory that cannot be read, a sentence each. */
  readonly unreadable: readonly string[]
  /** Whether a kubelet is in its folder of device plugins; null without that folder. Absent from surveys before 0.3.0. */
  readonly hasKubelet?: boolean | null
}

/** One node, or why nobody could look at it. */
export interface NodeVisit {
  readonly node: string
  readonly survey: NodeSurvey | undefined
  readonly reason: string | undefined
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
  /** What others keep that our plugins need; undefined without a cluster. */
  readonly around: AroundFacts | undefined
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

const decodeSurveyed = object<SurveyedAttachment>({
  attachment: decodeAttachment,
  isSandboxThere: flag,
  ageSeconds: number,
})

const DIFF = { findings: list(decodeFinding), unseen: list(text), port: nullable(number) }

/** What an agent answered. Throws DecodeError. */
export const decodeNodeDiff = object<NodeDiff>(DIFF)

const decodeFields = object<NodeSurvey>({
  version: text,
  refusal: optional(nullable(text)),
  attachments: list(decodeSurveyed),
  unreadable: list(text),
  findings: optional(DIFF.findings),
  unseen: optional(DIFF.unseen),
  port: optional(DIFF.port),
  hasKubelet: optional(nullable(flag)),
})

/** What kubectl-l2wire printed on a node. Throws DecodeError. */
export function decodeSurvey(json: string, path: string): NodeSurvey {
  return decodeFields(parseJson(json, path, 'a survey as JSON'), `${path}: `)
}
