// What a VM that migrates has in the pod that it comes from. Its guest does not ask for an address again, so the
// target's pod link must have the same one. Pure.
import { DecodeError } from '../errors.ts'
import { PRIMARY_POD_LINK } from '../name.ts'
import { getFamily, normalizeIp, type Family } from '../net/ip.ts'
import { isRecord } from '../record.ts'
import { getFields, MIGRATION_LABEL, toPodOwner, type ObjectRef } from '../wire/holder.ts'

/** Of a migration's target, whose VM still runs in another pod. */
export interface Source {
  /** The MAC that the NIC runs with. */
  readonly mac: string | undefined
  /** The addresses that it has there; undefined if that pod is still to be asked. */
  readonly addresses?: readonly string[]
  /** Undefined without a cluster, and if the pod does not name its migration. */
  readonly migration?: MigrationRef
  /** Who is told that the VM cannot come. */
  readonly subjects: readonly ObjectRef[]
}

/** A migration, and which pod its VM comes from. */
export interface MigrationRef {
  readonly namespace: string
  /** The VirtualMachineInstanceMigration's. */
  readonly name: string
  readonly uid: string
  /** Of the VirtualMachineInstance: where it runs, and the UIDs of its pods. */
  readonly node: string
  readonly podUids: readonly string[]
}

/** KubeVirt writes it beside MIGRATION_LABEL (migration.go of virt-controller). */
const MIGRATION_NAME = 'kubevirt.io/migrationJobName'
/** What Multus writes of all networks of a pod. */
const NETWORK_STATUS = 'k8s.v1.cni.cncf.io/network-status'

/** Undefined for a pod that is no migration's target. */
export function toSource(pod: unknown, vmi: unknown, mac: string | undefined): Source | undefined {
  const owner = toPodOwner(pod, vmi)
  if (owner?.isTarget !== true) return undefined
  const migration = toMigrationRef(pod, vmi)
  return { mac, subjects: owner.subjects, ...(migration === undefined ? {} : { migration }) }
}

function toMigrationRef(pod: unknown, vmi: unknown): MigrationRef | undefined {
  const metadata = getFields(pod, 'metadata')
  const { namespace } = metadata
  const name = getFields(metadata, 'annotations')[MIGRATION_NAME]
  const uid = getFields(metadata, 'labels')[MIGRATION_LABEL]
  const status = getFields(vmi, 'status')
  const node = status['nodeName']
  const isKnown = [namespace, name, uid, node].every((one) => typeof one === 'string' && one !== '')
  const podUids = Object.keys(getFields(status, 'activePods'))
  return isKnown
    ? { ...({ namespace, name, uid, node } as Omit<MigrationRef, 'podUids'>), podUids }
    : undefined
}

/** The name of the pod that a VirtualMachineInstanceMigration object says its VM comes from, if it is that migration. */
export function findSourcePodName(migration: unknown, { uid }: MigrationRef): string | undefined {
  if (getFields(migration, 'metadata')['uid'] !== uid) return undefined
  const name = getFields(getFields(migration, 'status'), 'migrationState')['sourcePod']
  return typeof name === 'string' && name !== '' ? name : undefined
}

/** Whether the VirtualMachineInstance runs in this pod: the target's author may have named any migration. */
export function isSourcePod(pod: unknown, { podUids, node }: MigrationRef): boolean {
  const { uid } = getFields(pod, 'metadata')
  return podUids.some((one) => one === uid) && getFields(pod, 'spec')['nodeName'] === node
}

/**
 * The addresses of a pod's link as its cluster knows them: of eth0 the kubelet's, of any other Multus'. Undefined if
 * nobody names the link. Throws DecodeError.
 */
export function findPodAddresses(pod: unknown, link: string): readonly string[] | undefined {
  if (link === PRIMARY_POD_LINK) {
    const ips = getFields(pod, 'status')['podIPs']
    return Array.isArray(ips) ? listIps(ips.map((one) => isRecord(one) && one['ip'])) : undefined
  }
  const text = getFields(getFields(pod, 'metadata'), 'annotations')[NETWORK_STATUS]
  if (typeof text !== 'string') return undefined
  const network = parseList(text).find((one) => isRecord(one) && one['interface'] === link)
  if (!isRecord(network)) return undefined
  const { ips } = network
  return Array.isArray(ips) ? listIps(ips) : []
}

function listIps(values: readonly unknown[]): readonly string[] {
  return values.flatMap((one) => (typeof one === 'string' ? (normalizeIp(one) ?? []) : []))
}

function parseList(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value)) return value
  } catch {
    // As any other text that is no list.
  }
  throw new DecodeError(NETWORK_STATUS, text, 'a list as Multus writes it')
}

export interface Identity {
  readonly mac: string | undefined
  /** The first of a family is the VM's. */
  readonly addresses: readonly string[]
}

/** In words, what a VM would have here that it does not have where it runs; undefined if nothing. */
export function findChange(here: Identity, there: Identity): string | undefined {
  const families = ([4, 6] as const).flatMap(
    (family) => findChangedFamily(family, here, there) ?? [],
  )
  const { mac } = there
  const isOther = mac !== undefined && here.mac !== mac
  const macs = isOther ? [`MAC ${here.mac}, expected ${mac}`] : []
  const changes = [...families, ...macs]
  return changes.length === 0 ? undefined : changes.join(', and ')
}

function findChangedFamily(family: Family, here: Identity, there: Identity): string | undefined {
  const [first, expected] = [here, there].map(({ addresses }) =>
    addresses.find((address) => getFamily(address) === family),
  )
  if (first === expected) return undefined
  return `${first ?? `no IPv${family} address`}, expected ${expected ?? `no IPv${family} address`}`
}
