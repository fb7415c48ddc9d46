// What we read of lists that the Kubernetes API answers with. Decoded narrowly: what is not as the API
// says is left out, since every line of a list stands for itself.
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import type { VniClaim } from './vni-claim.ts'
import { listObjects, type WireEvent } from './wire-facts.ts'
import { toObjectName } from './wire-object.ts'
import { toWireKey, type Wire } from './wire.ts'

type Json = Readonly<Record<string, unknown>>

/** The items of `kubectl get … -o json`. Throws DecodeError. */
export function parseItems(json: string, path: string): readonly Json[] {
  const value: unknown = json.trim() === '' ? { items: [] } : JSON.parse(json)
  const items = isRecord(value) ? value['items'] : undefined
  if (Array.isArray(items)) return items.filter(isRecord)
  throw new DecodeError(path, value, 'a list with its items')
}

export function readName(item: Json): string {
  return readText(item, 'metadata', 'name')
}

/** Undefined for an object that is not as agents make them. */
export function toVniClaim(item: Json): VniClaim | undefined {
  const [vni, sinceMs] = [
    Number(readName(item)),
    Date.parse(readText(item, 'metadata', 'creationTimestamp')),
  ]
  const wire = {
    namespace: readText(item, 'spec', 'namespace'),
    name: readText(item, 'spec', 'wire'),
  }
  const isWhole = Number.isInteger(vni) && !Number.isNaN(sinceMs) && wire.name !== ''
  return isWhole ? { vni, wire, sinceMs } : undefined
}

export interface AgentPod {
  readonly node: string
  readonly name: string
  readonly isReady: boolean
}

export function toAgentPod(pod: Json): AgentPod {
  const conditions = read(pod, 'status', 'conditions')
  const isReady =
    Array.isArray(conditions) &&
    conditions.some(
      (one: unknown) => isRecord(one) && one['type'] === 'Ready' && one['status'] === 'True',
    )
  return { node: readText(pod, 'spec', 'nodeName'), name: readName(pod), isReady }
}

/** The events about the wire's holders and their pods, and those that name the wire. */
export function pickEvents(items: readonly Json[], wire: Wire): readonly WireEvent[] {
  const objects = [...listObjects(wire), `Wire/${toObjectName(wire.name)}`]
  return items
    .map(toEvent)
    .filter(
      ({ object, message }) => objects.includes(object) || message.includes(`"${toWireKey(wire)}"`),
    )
}

function toEvent(item: Json): WireEvent {
  const object = (key: string): string => readText(item, 'involvedObject', key)
  // Events of the newer kind leave the old kind's stamps empty.
  const stamps = ['lastTimestamp', 'eventTime', 'firstTimestamp'].map((key) => readText(item, key))
  return {
    time: stamps.find((stamp) => stamp !== '') ?? '',
    type: readText(item, 'type'),
    reason: readText(item, 'reason'),
    object: `${object('kind')}/${object('name')}`,
    message: readText(item, 'message'),
  }
}

function read(item: Json, ...keys: readonly string[]): unknown {
  let value: unknown = item
  for (const key of keys) value = isRecord(value) ? value[key] : undefined
  return value
}

function readText(item: Json, ...keys: readonly string[]): string {
  const value = read(item, ...keys)
  return typeof value === 'string' ? value : ''
}
