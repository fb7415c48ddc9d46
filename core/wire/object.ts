// A wire as an object of the Kubernetes API: kind Wire of l2wire.dev/v1alpha1. The spec is who is
// plugged in where, written by the agents; the status is what each node made of it, and its summary.
import { isRecord } from '../record.ts'
import { DecodeError } from '../errors.ts'
import { sha256Hex } from '../hash.ts'
import { listNodes, type EndClaim, type StandbyClaim, type Wire } from './wire.ts'
import { toMessage } from '../printable.ts'
import { summarizeCarrier } from '../guest/carrier-summary.ts'
import { decodeWireFields } from './document.ts'
import { summarizeWire } from './summary.ts'

export const GROUP = 'l2wire.dev'
export const VERSION = 'v1alpha1'
export const WIRES = 'wires'
export const VNI_CLAIMS = 'vniclaims'

export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

type Json = Readonly<Record<string, unknown>>

export interface WireObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly spec: Json
  readonly status?: Json
}

/** Label values hold 63 bytes and a node's name may have 253, hence the hash in the key. */
export function toNodeLabel(node: string): string {
  return `${NODE_LABEL_PREFIX}${sha256Hex(node, 16)}`
}

const NODE_LABEL_PREFIX = 'node.l2wire.dev/'

/**
 * The object's name for a wire's: the same where Kubernetes takes it (RFC 1123 subdomain), else
 * made fit, with a hash so that "A" and "a" stay two wires.
 */
export function toObjectName(wireName: string): string {
  const isFit = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(wireName)
  if (isFit) return wireName
  const fit = wireName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
  return `${fit}-${sha256Hex(wireName, 10)}`
}

/** The object as it should be; what others keep in it (labels, annotations, fields not ours) stays. */
export function toWireObject(wire: Wire, earlier: WireObject | undefined, now: Date): WireObject {
  const {
    ends: _ends,
    unplugged: _unplugged,
    standbys: _standbys,
    displaced: _displaced,
    vni: _vni,
    tunnelNodes: _nodes,
    ...foreign
  } = earlier?.spec ?? {}
  const labels = Object.entries(earlier?.metadata.labels ?? {}).filter(
    ([key]) => !key.startsWith(NODE_LABEL_PREFIX),
  )
  return {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: 'Wire',
    metadata: {
      ...earlier?.metadata,
      name: toObjectName(wire.name),
      namespace: wire.namespace,
      labels: Object.fromEntries([
        ...labels,
        ...listNodes(wire).map((node) => [toNodeLabel(node), '']),
      ]) as Record<string, string>,
    },
    spec: {
      ...foreign,
      name: wire.name,
      ends: wire.ends.map(toEndField),
      ...(wire.isUnplugged ? { unplugged: true } : {}),
      ...(wire.standbys.length === 0 ? {} : { standbys: wire.standbys.map(toStandbyField) }),
      ...(wire.displaced.length === 0 ? {} : { displaced: wire.displaced }),
      ...(wire.vni === undefined ? {} : { vni: wire.vni }),
      tunnelNodes: wire.tunnelNodes,
    },
    status: toStatus(wire, earlier?.status, now),
  }
}

/** Throws DecodeError for an object that was edited into nonsense. */
export function fromWireObject(object: unknown): Wire {
  if (!isRecord(object) || !isRecord(object['metadata']))
    throw new DecodeError('wire', object, 'an object with metadata')
  const { namespace, name } = object['metadata']
  const path = `wire ${String(namespace)}/${String(name)}`
  const { spec, status } = object
  if (!isRecord(spec)) throw new DecodeError(`${path}: spec`, spec, 'an object')
  const wireName = spec['name']
  if (
    typeof namespace !== 'string' ||
    typeof wireName !== 'string' ||
    toObjectName(wireName) !== name
  )
    throw new DecodeError(
      `${path}: spec.name`,
      wireName,
      `the name of wire object "${String(name)}"`,
    )
  const [ends, standbys] = ['ends', 'standbys'].map((key) => {
    const fields = spec[key]
    return Array.isArray(fields) ? (fields as unknown[]).map(fromEndField) : []
  })
  const reports = isRecord(status) ? status['reports'] : undefined
  const { unplugged: isUnplugged } = spec
  const fields = decodeWireFields({ ...spec, ends, standbys, isUnplugged, reports }, path)
  const wire = { namespace, name: wireName, ...fields }
  // The status is written after the spec: what it says of nodes that have gone is over.
  const nodes = listNodes(wire)
  return { ...wire, reports: wire.reports.filter(({ node }) => nodes.includes(node)) }
}

/** Whether two objects differ in what is written to the main resource; the status is written apart. */
export function hasSameClaims(a: WireObject, b: WireObject): boolean {
  const pick = ({ metadata }: WireObject): string => JSON.stringify(sortKeys(metadata.labels ?? {}))
  return hasSameSpec(a, b) && pick(a) === pick(b)
}

/** Whether two objects say the same of who is plugged in where, whatever their labels. */
export function hasSameSpec(a: WireObject, b: WireObject): boolean {
  return JSON.stringify(sortKeys(a.spec)) === JSON.stringify(sortKeys(b.spec))
}

/** Whether two objects say the same in their status. */
export function hasSameStatus(a: WireObject, b: WireObject): boolean {
  return JSON.stringify(sortKeys(a.status ?? {})) === JSON.stringify(sortKeys(b.status ?? {}))
}

// The field is called as in a NetworkAttachmentDefinition; being up is what need not be said.
function toEndField({ mtuBytes, pod, isUp, ...end }: EndClaim): Json {
  const said = { ...(pod === undefined ? {} : { pod }), ...(isUp ? {} : { down: true }) }
  return { ...end, mtu: mtuBytes, ...said }
}

function toStandbyField({ isTarget, ...claim }: StandbyClaim): Json {
  return { ...toEndField(claim), ...(isTarget ? { target: true } : {}) }
}

function fromEndField(field: unknown): unknown {
  if (!isRecord(field)) return field
  const { mtu, down: isDown, target: isTarget, ...end } = field
  return { ...end, mtuBytes: mtu, isUp: isDown !== true, isTarget }
}

interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

function toStatus(wire: Wire, earlier: Json | undefined, now: Date): Json {
  const { state, message, ends, nodes, mtu } = summarizeWire(wire)
  const before = Array.isArray(earlier?.['conditions'])
    ? (earlier['conditions'] as unknown[]).filter(isRecord)
    : []
  const toCondition = ({ type, status, reason, message }: Condition): Json => {
    const since = before.find((one) => one['type'] === type && one['status'] === status)
    const lastTransitionTime = since?.['lastTransitionTime'] ?? `${now.toISOString().slice(0, 19)}Z`
    return { type, status, reason, message, lastTransitionTime }
  }
  const status = state === 'Connected' ? 'True' : 'False'
  const carrier = summarizeCarrier(wire)
  return {
    state,
    ends,
    nodes,
    mtu,
    // For `kubectl wait --for=condition=Connected`.
    conditions: [
      toCondition({ type: 'Connected', status, reason: state, message }),
      ...(carrier === undefined ? [] : [toCondition({ type: 'CarrierShown', ...carrier })]),
    ],
    reports: wire.reports.map(({ message: words, ...report }) =>
      words === undefined ? report : { ...report, message: toMessage(words) },
    ),
  }
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key])]),
  )
}
