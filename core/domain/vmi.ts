// Decodes the few fields of a VirtualMachineInstance that decide about a NIC. KubeVirt v1.9:
// staging/src/kubevirt.io/api/core/v1/schema.go. It ignores fields of other bindings: their mistakes are not
// ours to report.
import { DecodeError } from '../errors.ts'
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
import type { PodLinkNames } from './pod-links.ts'
import { indexPodLinks } from './pod-links.ts'
import { indexRunningQueues } from './running-nic.ts'
import { decodeVcpus } from './vcpu.ts'

/** One interface of the VM that has our binding and is not being removed. */
export interface VmiNic extends PodLinkNames {
  /** Interface and network share it. The domain's alias is "ua-" followed by it. */
  readonly name: string
  readonly model: string
  readonly mac: string | undefined
  readonly bootOrder: number | undefined
  readonly pciAddress: PciAddress | undefined
  readonly acpiIndex: number | undefined
  readonly isDown: boolean
  /** Undefined for a NIC that does not run yet. */
  readonly runningQueues: number | undefined
}

export interface Vmi {
  /** All the VM's interfaces, in the order that the guest should see. */
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

// JSON that consists of brackets takes forty times its size in memory. The API server takes objects of up to
// 1.5 MB; the largest VMIs hold a few thousand objects and arrays.
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
    nics: decodeNics(
      interfaces
        .filter((iface) => hasBinding(iface, bindings))
        .filter((iface) => asString(at(iface, 'state')) !== 'absent'),
      vmi,
    ),
    architecture,
    useVirtioTransitional: asBoolean(at(devices, 'useVirtioTransitional')),
    networkInterfaceMultiqueue: asBoolean(at(devices, 'networkInterfaceMultiqueue')),
    needsIommu: decodeNeedsIommu(at(domain, 'launchSecurity'), architecture),
    vcpus: decodeVcpus(domain),
  }
}

function decodeNames(interfaces: readonly Field[]): string[] {
  const names = new Set<string>()
  for (const iface of interfaces) {
    const field = at(iface, 'name')
    const name = getString(field)
    if (names.has(name)) {
      throw new DecodeError(field.path, name, 'a name that no other interface has')
    }
    names.add(name)
  }
  return [...names]
}

function hasBinding(iface: Field, bindings: readonly string[]): boolean {
  const field = at(iface, 'binding')
  return !isAbsent(field) && bindings.includes(getString(at(field, 'name')))
}

// Networks and status are read only if a NIC is ours. Mistakes of others there are not ours to report.
function decodeNics(interfaces: readonly Field[], vmi: Field): VmiNic[] {
  if (interfaces.length === 0) return []
  const findPodLinks = indexPodLinks(vmi)
  const findRunningQueues = indexRunningQueues(vmi)
  return interfaces.map((iface) => decodeNic(iface, findPodLinks, findRunningQueues))
}

function decodeNic(
  iface: Field,
  findPodLinks: ReturnType<typeof indexPodLinks>,
  findRunningQueues: ReturnType<typeof indexRunningQueues>,
): VmiNic {
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
    runningQueues: findRunningQueues(name),
    ...findPodLinks(name, at(iface, 'name').path),
  }
}

function decodeNeedsIommu(launchSecurity: Field, architecture: string | undefined): boolean {
  if (isAbsent(launchSecurity)) return false
  return (
    architecture === 's390x' ||
    !isAbsent(at(launchSecurity, 'sev')) ||
    !isAbsent(at(launchSecurity, 'snp'))
  )
}
