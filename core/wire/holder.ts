// Who holds an end: what outlives the pod and is found again under the same name on another node. A pod's own
// object is what its author wrote: an owner that it names is believed once that owner itself knows the pod.
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { isRecord } from '../record.ts'
import { each, object, text } from '../shape.ts'

/** An object that Events can be about. */
export interface ObjectRef {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export const decodeObjectRef = object<ObjectRef>(
  each(text, 'apiVersion', 'kind', 'namespace', 'name', 'uid'),
)

export interface PodOwner {
  /** "vm/r1", "deployment/h1", "pod/h1". */
  readonly holder: string
  /** The pod itself, and its VirtualMachineInstance where it has one. */
  readonly subjects: readonly ObjectRef[]
  /** Whether it is the target of a migration whose guest still runs on another node. */
  readonly isTarget: boolean
}

type Kind = 'VirtualMachineInstance' | 'ReplicaSet'

/** The owner that a pod names, for somebody to look up. */
export interface OwnerClaim {
  readonly kind: Kind
  readonly name: string
  readonly uid: string
}

const GROUPS: Readonly<Record<Kind, string>> = {
  VirtualMachineInstance: 'kubevirt.io',
  ReplicaSet: 'apps',
}

type Fields = Readonly<Record<string, unknown>>

export function findOwnerClaim(pod: unknown): OwnerClaim | undefined {
  const owner = findController(pod)
  const kind = owner?.['kind']
  if (kind !== 'VirtualMachineInstance' && kind !== 'ReplicaSet') return undefined
  const { apiVersion, name, uid } = owner ?? {}
  const isKnown = String(apiVersion).split('/')[0] === GROUPS[kind]
  return isKnown && typeof name === 'string' && typeof uid === 'string'
    ? { kind, name, uid }
    : undefined
}

/**
 * Whose the pod is, by the object that stands behind its claim; without one it is its own. Undefined for what
 * is no pod object.
 */
export function toPodOwner(pod: unknown, owner?: unknown): PodOwner | undefined {
  const { name, namespace, uid } = getFields(pod, 'metadata')
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof uid !== 'string')
    return undefined
  const self = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid }
  const claim = findOwnerClaim(pod)
  if (claim !== undefined && isClaimed(owner, claim)) {
    if (claim.kind === 'VirtualMachineInstance' && listsPod(owner, uid)) {
      // Never the label vm.kubevirt.io/name: that is the guest's hostname (KubeVirt 1.9, template.go).
      const subject = { apiVersion: 'kubevirt.io/v1', ...claim, namespace }
      const holder = `vm/${claim.name}`
      return { holder, subjects: [self, subject], isTarget: awaitsGuest(pod, owner) }
    }
    // A rollout makes a new ReplicaSet, and its pods take over from the old one's.
    const deployment = claim.kind === 'ReplicaSet' ? findDeployment(owner) : undefined
    if (deployment !== undefined && selects(owner, pod))
      return { holder: `deployment/${deployment}`, subjects: [self], isTarget: false }
  }
  // A StatefulSet's pods have names of their own that stay.
  return { holder: `pod/${name}`, subjects: [self], isTarget: false }
}

/** On the launchers that KubeVirt makes for migrations, and no others (migration.go of virt-controller). */
export const MIGRATION_LABEL = 'kubevirt.io/migrationJobUID'

// The label stays once the guest has come. The node is its guest's until the migration is over.
function awaitsGuest(pod: unknown, vmi: unknown): boolean {
  const labels = getFields(getFields(pod, 'metadata'), 'labels')
  if (!Object.hasOwn(labels, MIGRATION_LABEL)) return false
  const { nodeName } = getFields(pod, 'spec')
  return typeof nodeName === 'string' && getFields(vmi, 'status')['nodeName'] !== nodeName
}

/** Whether the object is the one that is claimed, and no other of its name. */
export function isClaimed(owner: unknown, { name, uid }: OwnerClaim): boolean {
  const metadata = getFields(owner, 'metadata')
  return metadata['name'] === name && metadata['uid'] === uid
}

/** Whether a VirtualMachineInstance counts the pod among its own: KubeVirt alone writes that. */
export function listsPod(vmi: unknown, podUid: string): boolean {
  return Object.hasOwn(getFields(getFields(vmi, 'status'), 'activePods'), podUid)
}

/**
 * For "args.cni.end": a name of one's own choice, or what the pod is anyhow. What another pod, VM or Deployment is
 * called by is theirs. Throws CniError 7.
 */
export function expectOwnEnd(end: string, own: readonly string[]): void {
  if (!end.includes('/') || own.includes(end)) return
  const cause = new DecodeError('args.cni.end', end, `a name without "/", or ${own.join(' or ')}`)
  throw new CniError(CNI_CODE.INVALID_CONFIG, cause.message, { cause })
}

function findDeployment(replicaSet: unknown): string | undefined {
  const { apiVersion, kind, name } = findController(replicaSet) ?? {}
  const isOne = kind === 'Deployment' && String(apiVersion).split('/')[0] === GROUPS.ReplicaSet
  return isOne && typeof name === 'string' ? name : undefined
}

// A pod that its selector does not match is none of its own: its controller lets go of it.
function selects(replicaSet: unknown, pod: unknown): boolean {
  const selector = getFields(getFields(replicaSet, 'spec'), 'selector')
  const wanted = Object.entries(getFields(selector, 'matchLabels'))
  const labels = getFields(getFields(pod, 'metadata'), 'labels')
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
}

function findController(object: unknown): Fields | undefined {
  const references = getFields(object, 'metadata')['ownerReferences']
  const owners = Array.isArray(references) ? references.filter(isRecord) : []
  return owners.find(({ controller }) => controller === true)
}

/** The fields of an object's field; none where it has no such. */
export function getFields(object: unknown, key: string): Fields {
  const value = isRecord(object) ? object[key] : undefined
  return isRecord(value) ? value : {}
}

/** A pod as others see it. */
export interface Pod {
  /** Another pod of the same name has another one. */
  readonly uid: string
  /** Undefined while it waits for one. */
  readonly node: string | undefined
  /** Somebody has deleted it; its containers may still run. */
  readonly isLeaving: boolean
  /** Its containers have ended for good. */
  readonly isOver: boolean
}

/** Undefined for what is no pod object. */
export function toPod(object: unknown): Pod | undefined {
  const { name, namespace, uid, deletionTimestamp } = getFields(object, 'metadata')
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof uid !== 'string')
    return undefined
  const node = getFields(object, 'spec')['nodeName']
  return {
    uid,
    node: typeof node === 'string' && node !== '' ? node : undefined,
    isOver: ['Succeeded', 'Failed'].includes(String(getFields(object, 'status')['phase'])),
    isLeaving: deletionTimestamp !== undefined && deletionTimestamp !== null,
  }
}
