// What a VMI says of cloud-init's network data: who wants it, and which NICs the guest has.
import { decodeMac } from './address.ts'
import type { Field } from './field.ts'
import { asArray, asString, at, isAbsent } from './field.ts'
import type { VmiNic } from './vmi.ts'
import { decodeVmi } from './vmi.ts'

/** On the VMI, "true": its template's metadata in a VirtualMachine. */
export const NETWORK_DATA_ANNOTATION = 'l2wire.dev/network-data'

/** A NIC that somebody else attaches, and that has a DHCP server of KubeVirt's or of its plugin's. */
export interface OtherNic {
  readonly kind: 'other'
  readonly name: string
  /** Undefined where only KubeVirt knows: cloud-init finds a NIC by its MAC. */
  readonly mac: string | undefined
  readonly isPrimary: boolean
}

export interface OwnNic {
  readonly kind: 'own'
  readonly nic: VmiNic
}

/** A NIC of the guest that network data may speak of. */
export type GuestVmiNic = OwnNic | OtherNic

export function hasNetworkDataAnnotation(value: unknown): boolean {
  const annotations = at({ path: '', value }, 'metadata', 'annotations')
  return asString(at(annotations, NETWORK_DATA_ANNOTATION)) === 'true'
}

/**
 * Whether to subscribe to PreCloudInitIso for this VM: it asks for it, and what KubeVirt 1.9 then does
 * is sane. Without a cloud-init volume virt-launcher would follow a nil pointer, and it drops the
 * metadata of one that has no user data, which then has network data of its own.
 */
export function wantsNetworkData(value: unknown): boolean {
  if (!hasNetworkDataAnnotation(value)) return false
  const sources = asArray(at({ path: '', value }, 'spec', 'volumes')).flatMap((volume) =>
    ['cloudInitNoCloud', 'cloudInitConfigDrive'].map((kind) => at(volume, kind)),
  )
  // The first is the one that KubeVirt makes a disk of.
  const source = sources.find((field) => !isAbsent(field))
  return source !== undefined && !hasNetworkData(source)
}

function hasNetworkData(source: Field): boolean {
  return (
    asString(at(source, 'networkData')) !== undefined ||
    asString(at(source, 'networkDataBase64')) !== undefined ||
    !isAbsent(at(source, 'networkDataSecretRef'))
  )
}

/** In the VMI's order. NICs with one of these bindings are ours. Throws DecodeError. */
export function decodeGuestNics(value: unknown, bindings: readonly string[]): GuestVmiNic[] {
  const own = new Map(decodeVmi(value, ...bindings).nics.map((nic) => [nic.name, nic]))
  const spec = at({ path: '', value }, 'spec')
  const pod = asArray(at(spec, 'networks')).find((network) => !isAbsent(at(network, 'pod')))
  const podNetwork = pod === undefined ? undefined : asString(at(pod, 'name'))
  return asArray(at(spec, 'domain', 'devices', 'interfaces')).flatMap((iface): GuestVmiNic[] => {
    const name = asString(at(iface, 'name')) ?? ''
    const nic = own.get(name)
    if (nic !== undefined) return [{ kind: 'own', nic }]
    return decodeOther(iface, name, name === podNetwork)
  })
}

function decodeOther(iface: Field, name: string, isPrimary: boolean): OtherNic[] {
  const isServed = isPrimary || ['masquerade', 'bridge'].some((kind) => !isAbsent(at(iface, kind)))
  if (asString(at(iface, 'state')) === 'absent' || !isServed) return []
  const mac = at(iface, 'macAddress')
  const isKnown = asString(mac) !== undefined
  return [
    { kind: 'other', name, isPrimary, mac: isKnown ? decodeMac(mac.value, mac.path) : undefined },
  ]
}
