// The few fields of a VirtualMachineInstance that decide about a NIC, decoded from its JSON.
// KubeVirt v1.9: staging/src/kubevirt.io/api/core/v1/schema.go. What belongs to other bindings is
// not looked at: another binding's mistake is not ours to report.
import { DecodeError } from '../errors.ts'
import { PRIMARY_POD_LINK, toPodLinkName } from '../name.ts'
import type { PciAddress } from './address.ts'
import { decodeMac, decodePciAddress } from './address.ts'
import type { Field } from './field.ts'
import {
  asArray,
  asBoolean,
  asCount,
  asObject,
  asString,
  at,
  getString,
  isAbsent,
} from './field.ts'
import { findRunningQueues } from './running-queues.ts'
import { decodeVcpus } from './vcpu.ts'

/** One interface of the VM that has a binding of ours and is not on its way out. */
export interface VmiNic {
  /** Interface and network share it; the domain's alias is "ua-" and this. */
  readonly name: string
  readonly model: string
  readonly mac: string | undefined
  readonly bootOrder: number | undefined
  readonly pciAddress: PciAddress | undefined
  readonly acpiIndex: number | undefined
  readonly isDown: boolean
  /** Undefined for one that does not run yet. */
  readonly runningQueues: number | undefined
  /** On the pod's own network, whose tap has a fixed name. */
  readonly isPrimary: boolean
  /** What the pod link may be called, to be looked for in this order. */
  readonly podLinks: readonly string[]
}

export interface Vmi {
  /** All the VM's interfaces, in the order the guest is meant to see them. */
  readonly interfaceNames: readonly string[]
  readonly nics: readonly VmiNic[]
  /** Go's name: "amd64", "arm64", "s390x". */
  readonly architecture: string | undefined
  readonly useVirtioTransitional: boolean
  readonly networkInterfaceMultiqueue: boolean
  /** The guest's memory is encrypted: its virtio devices need an IOMMU (SEV, SNP, Secure Execution). */
  readonly needsIommu: boolean
  readonly vcpus: number
}

// JSON of nothing but brackets becomes forty times its size in memory. The API server takes objects
// of up to 1.5 MB; the largest VMIs hold a few thousand objects and arrays.
const MAX_BRACKETS = 100_000

/** The VMI's JSON as a value that is not decoded yet. */
export function parseVmi(text: string): unknown {
  const brackets = countMatches(text, /[[{]/g)
  if (brackets > MAX_BRACKETS) {
    throw new DecodeError('vmi', `${brackets} objects and arrays`, `at most ${MAX_BRACKETS}`)
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new DecodeError('vmi', text.slice(0, 200), 'JSON', { cause })
  }
}

function countMatches(text: string, pattern: RegExp): number {
  let count = 0
  while (pattern.test(text)) count += 1
  return count
}

/** Decodes a VMI as far as NICs of these bindings need it. Throws DecodeError with the path in the VMI. */
export function decodeVmi(value: unknown, ...bindings: readonly string[]): Vmi {
  const vmi: Field = { path: '', value }
  if (asObject({ path: 'vmi', value }) === undefined) {
    throw new DecodeError('vmi', value, 'an object')
  }
  const domain = at(vmi, 'spec', 'domain')
  const devices = at(domain, 'devices')
  const interfaces = asArray(at(devices, 'interfaces'))
  const architecture = asString(at(vmi, 'spec', 'architecture'))
  return {
    interfaceNames: decodeNames(interfaces),
    nics: interfaces
      .filter((iface) => hasBinding(iface, bindings))
      .filter((iface) => asString(at(iface, 'state')) !== 'absent')
      .map((iface) => decodeNic(iface, vmi)),
    architecture,
    useVirtioTransitional: asBoolean(at(devices, 'useVirtioTransitional')),
    networkInterfaceMultiqueue: asBoolean(at(devices, 'networkInterfaceMultiqueue')),
    needsIommu: decodeNeedsIommu(at(domain, 'launchSecurity'), architecture),
    vcpus: decodeVcpus(domain),
  }
}

function decodeNames(interfaces: readonly Field[]): string[] {
  const names: string[] = []
  for (const iface of interfaces) {
    const field = at(iface, 'name')
    const name = getString(field)
    if (names.includes(name)) {
      throw new DecodeError(field.path, name, 'a name that no other interface has')
    }
    names.push(name)
  }
  return names
}

function hasBinding(iface: Field, bindings: readonly string[]): boolean {
  const field = at(iface, 'binding')
  return !isAbsent(field) && bindings.includes(getString(at(field, 'name')))
}

function decodeNic(iface: Field, vmi: Field): VmiNic {
  const name = getString(at(iface, 'name'))
  const mac = at(iface, 'macAddress')
  const pciAddress = at(iface, 'pciAddress')
  return {
    name,
    model: asString(at(iface, 'model')) ?? 'virtio',
    mac: asString(mac) === undefined ? undefined : decodeMac(mac.value, mac.path),
    bootOrder: asCount(at(iface, 'bootOrder'), 0xffff_ffff),
    pciAddress:
      asString(pciAddress) === undefined
        ? undefined
        : decodePciAddress(pciAddress.value, pciAddress.path),
    // The API's own bound: 16 * 1024 - 1.
    acpiIndex: asCount(at(iface, 'acpiIndex'), 16_383),
    isDown: asString(at(iface, 'state')) === 'down',
    runningQueues: findRunningQueues(vmi, name),
    ...findPodLinks(name, at(iface, 'name').path, vmi),
  }
}

// KubeVirt v1.9: pkg/network/namescheme. The hashed names are what a current KubeVirt asks Multus
// for; the ordinal ones belong to pods made before it did, or by a CNI plugin that reports "netN".
function findPodLinks(
  name: string,
  path: string,
  vmi: Field,
): Pick<VmiNic, 'isPrimary' | 'podLinks'> {
  const networks = asArray(at(vmi, 'spec', 'networks'))
  const network = networks.find((candidate) => getString(at(candidate, 'name')) === name)
  if (network === undefined) throw new DecodeError(path, name, 'the name of one of spec.networks')
  if (isSecondary(network)) {
    const ordinal = networks.filter(isSecondary).indexOf(network) + 1
    return { isPrimary: false, podLinks: [toPodLinkName(name), `net${ordinal}`] }
  }
  if (isAbsent(at(network, 'pod')) && isAbsent(at(network, 'multus'))) {
    throw new DecodeError(network.path, network.value, 'a network with "pod" or "multus"')
  }
  const status = asArray(at(vmi, 'status', 'interfaces')).find(
    (candidate) => asString(at(candidate, 'name')) === name,
  )
  const reported = status === undefined ? undefined : asString(at(status, 'podInterfaceName'))
  return {
    isPrimary: true,
    podLinks: reported === undefined ? [PRIMARY_POD_LINK] : [reported, PRIMARY_POD_LINK],
  }
}

function isSecondary(network: Field): boolean {
  const multus = at(network, 'multus')
  return !isAbsent(multus) && !asBoolean(at(multus, 'default'))
}

function decodeNeedsIommu(launchSecurity: Field, architecture: string | undefined): boolean {
  if (isAbsent(launchSecurity)) return false
  return (
    architecture === 's390x' ||
    !isAbsent(at(launchSecurity, 'sev')) ||
    !isAbsent(at(launchSecurity, 'snp'))
  )
}
