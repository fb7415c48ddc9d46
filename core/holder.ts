// Who holds an end, from the pod's own object: what outlives the pod and is found again under the
// same name on another node.
import { isRecord } from './record.ts'

/** An object that Events can be about. */
export interface ObjectRef {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export interface PodOwner {
  /** "vm/r1", "deployment/h1", "pod/h1". */
  readonly holder: string
  /** The pod itself, and its VirtualMachineInstance where it has one. */
  readonly subjects: readonly ObjectRef[]
}

const POD_TEMPLATE_HASH = 'pod-template-hash'

/** Undefined for what is no pod object. */
export function toPodOwner(pod: unknown): PodOwner | undefined {
  if (!isRecord(pod) || !isRecord(pod['metadata'])) return undefined
  const { metadata } = pod
  const { name, namespace, uid } = metadata
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof uid !== 'string')
    return undefined
  const self = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid }
  const owners = Array.isArray(metadata['ownerReferences'])
    ? (metadata['ownerReferences'] as unknown[]).filter(isRecord)
    : []
  const find = (kind: string): Readonly<Record<string, unknown>> | undefined =>
    owners.find((owner) => owner['kind'] === kind && owner['controller'] === true)
  const vmi = find('VirtualMachineInstance')
  if (vmi !== undefined) {
    // Never the label vm.kubevirt.io/name: that is the guest's hostname (KubeVirt 1.9, template.go).
    const subject = {
      apiVersion: String(vmi['apiVersion']),
      kind: 'VirtualMachineInstance',
      namespace,
      name: String(vmi['name']),
      uid: String(vmi['uid']),
    }
    return { holder: `vm/${subject.name}`, subjects: [self, subject] }
  }
  const replicaSet = find('ReplicaSet')?.['name']
  const labels = isRecord(metadata['labels']) ? metadata['labels'] : {}
  const suffix = `-${String(labels[POD_TEMPLATE_HASH])}`
  // A rollout makes a new ReplicaSet, and its pods take over from the old one's.
  if (typeof replicaSet === 'string' && replicaSet.endsWith(suffix))
    return { holder: `deployment/${replicaSet.slice(0, -suffix.length)}`, subjects: [self] }
  // A StatefulSet's pods have names of their own that stay.
  return { holder: `pod/${name}`, subjects: [self] }
}

/** A pod as others see it. */
export interface Pod {
  readonly owner: PodOwner
  /** Another pod of the same name has another one. */
  readonly uid: string
  /** Undefined while it waits for one. */
  readonly node: string | undefined
  /** Somebody has deleted it; its containers may still run. */
  readonly isLeaving: boolean
}

/** Undefined for what is no pod object. */
export function toPod(object: unknown): Pod | undefined {
  const owner = toPodOwner(object)
  if (owner === undefined || !isRecord(object) || !isRecord(object['metadata'])) return undefined
  const { uid, deletionTimestamp } = object['metadata']
  const node = isRecord(object['spec']) ? object['spec']['nodeName'] : undefined
  return {
    owner,
    uid: String(uid),
    node: typeof node === 'string' && node !== '' ? node : undefined,
    isLeaving: deletionTimestamp !== undefined && deletionTimestamp !== null,
  }
}
