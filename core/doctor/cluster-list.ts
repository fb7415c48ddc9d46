// What we read of lists that the Kubernetes API answers with. Decoded narrowly: what is not as the API
// says is left out, since every line of a list stands for itself.
import type { Binding, BoundNic, NetworkDefinition, NetworkPod } from './around-facts.ts'
import { isRecord } from '../record.ts'
import { DecodeError } from '../errors.ts'
import type { VniClaim } from '../wire/vni.ts'
import { listObjects, type WireEvent } from '../wire/facts.ts'
import { toObjectName } from '../wire/object.ts'
import { toWireKey, type Wire } from '../wire/wire.ts'

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

/** The bindings of a KubeVirt object. */
export function listBindings(kubevirt: Json): readonly Binding[] {
  const all = read(kubevirt, 'spec', 'configuration', 'network', 'binding')
  return Object.entries(isRecord(all) ? all : {}).flatMap(([name, binding]) =>
    isRecord(binding)
      ? {
          name,
          network: readText(binding, 'networkAttachmentDefinition'),
          sidecarImage: readText(binding, 'sidecarImage'),
        }
      : [],
  )
}

/** NICs of a VirtualMachine, or of an instance, by bindings that are named as ours are. */
export function listBoundNics(vm: Json): readonly BoundNic[] {
  const spec = read(vm, 'spec', 'template', 'spec') ?? read(vm, 'spec')
  const nics = isRecord(spec) ? read(spec, 'domain', 'devices', 'interfaces') : undefined
  return (Array.isArray(nics) ? nics : []).filter(isRecord).flatMap((nic) => {
    const binding = readText(nic, 'binding', 'name')
    if (!/^l2wire(-macvtap)?$/.test(binding)) return []
    const vmKey = `${readText(vm, 'metadata', 'namespace')}/${readName(vm)}`
    return [{ vm: vmKey, nic: readText(nic, 'name'), binding }]
  })
}

export function toNetworkDefinition(item: Json): NetworkDefinition {
  return {
    namespace: readText(item, 'metadata', 'namespace'),
    name: readName(item),
    types: listTypes(readText(item, 'spec', 'config')),
  }
}

// One plugin, or a list of them; Multus refuses a configuration that is no JSON, and so it is none of ours.
function listTypes(config: string): readonly string[] {
  let value: unknown
  try {
    value = JSON.parse(config)
  } catch {
    return []
  }
  if (!isRecord(value)) return []
  const plugins = Array.isArray(value['plugins']) ? value['plugins'].filter(isRecord) : [value]
  return plugins.map((plugin) => readText(plugin, 'type'))
}

const NETWORKS = 'k8s.v1.cni.cncf.io/networks'
const NETWORK_STATUS = 'k8s.v1.cni.cncf.io/network-status'

/** Undefined for a pod that asks for no networks, or is on its way out. */
export function toNetworkPod(pod: Json): NetworkPod | undefined {
  const networks = readText(pod, 'metadata', 'annotations', NETWORKS)
  if (networks === '' || readText(pod, 'metadata', 'deletionTimestamp') !== '') return undefined
  return {
    namespace: readText(pod, 'metadata', 'namespace'),
    name: readName(pod),
    node: readText(pod, 'spec', 'nodeName'),
    isRunning: readText(pod, 'status', 'phase') === 'Running',
    networks,
    networkStatus: readText(pod, 'metadata', 'annotations', NETWORK_STATUS),
  }
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
