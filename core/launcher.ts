// What a launcher pod and its VM want of one NIC, as values. KubeVirt's fields as of v1.9.0.
import type { BindConfig } from './cni/bind-config.ts'
import { decodeDhcpOptions, type DhcpOption } from './dhcp-options.ts'
import type { PodRef } from './cni/env.ts'
import { decodeMac } from './domain/address.ts'
import type { Field } from './domain/field.ts'
import { asArray, asBoolean, asString, at, isAbsent } from './domain/field.ts'
import { wantsNetworkData } from './domain/network-data-vmi.ts'
import { findRunningNic, type RunningNic } from './domain/running-nic.ts'
import { decodeVcpus } from './domain/vcpu.ts'
import type { DnsSources, PodDns } from './resolv-conf.ts'
import { toPodDns } from './resolv-conf.ts'

export interface NicWish {
  /** Of the pod: its own, or its name, as Kubernetes has it. */
  readonly hostname: string | undefined
  readonly dns: PodDns
  /** What the VMI asks for, else what the NIC runs with elsewhere; undefined takes the pod link's. */
  readonly mac: string | undefined
  /** Further options that DHCP is to say. */
  readonly dhcpOptions?: readonly DhcpOption[]
  /** Whether it is the pod's own network; undefined where nobody knows its VMI. */
  readonly isPrimary?: boolean
  /** QEMU will open several queues. */
  readonly isMultiQueue: boolean
  /** Its guest is to be told of its network by cloud-init. */
  readonly wantsNetworkData?: true
}

/** What a cluster says of a launcher: objects of its API. */
export interface Launcher {
  readonly pod: unknown
  /** Undefined for a pod without one, and where nobody may read it. */
  readonly vmi: unknown
}

const MAX_HOSTNAME_CHARS = 63

/** Without a cluster there is no launcher to know. Throws DecodeError, which names the field. */
export function toNicWish(
  ref: PodRef,
  config: BindConfig,
  dns: DnsSources,
  launcher?: Launcher,
): NicWish {
  const spec = at({ path: 'pod', value: launcher?.pod }, 'spec')
  const vmi: Field = { path: 'vmi', value: launcher?.vmi }
  const nic = findNic(vmi, config.logicNetworkName)
  const running = findRunningNic(vmi, config.logicNetworkName)
  const isPrimary = findIsPrimary(vmi, config.logicNetworkName)
  return {
    hostname: asString(at(spec, 'hostname')) ?? toHostname(ref.name),
    dns: config.dns ?? (launcher === undefined ? dns.own : toPodDns(spec, ref.namespace, dns)),
    ...(isPrimary === undefined ? {} : { isPrimary }),
    ...(nic === undefined
      ? { mac: undefined, isMultiQueue: config.isMultiQueue ?? false }
      : {
          // A VM on its way from another pod brings the MAC of that pod's link.
          mac: decodeNicMac(nic) ?? running?.mac,
          isMultiQueue: wantsQueues(vmi, nic, config, running),
          ...(isAbsent(at(nic, 'dhcpOptions')) ? {} : { dhcpOptions: decodeDhcpOptions(nic) }),
          ...(wantsNetworkData(launcher?.vmi) ? { wantsNetworkData: true } : {}),
        }),
  }
}

// The kubelet's cut, for pods that have no hostname of their own.
function toHostname(podName: string | undefined): string | undefined {
  return podName?.slice(0, MAX_HOSTNAME_CHARS).replace(/[-.]+$/, '')
}

function findNic(vmi: Field, name: string): Field | undefined {
  return asArray(at(vmi, 'spec', 'domain', 'devices', 'interfaces')).find(
    (nic) => asString(at(nic, 'name')) === name,
  )
}

function findIsPrimary(vmi: Field, name: string): boolean | undefined {
  const network = asArray(at(vmi, 'spec', 'networks')).find(
    (one) => asString(at(one, 'name')) === name,
  )
  return network === undefined
    ? undefined
    : !isAbsent(at(network, 'pod')) || asBoolean(at(network, 'multus', 'default'))
}

function decodeNicMac(nic: Field): string | undefined {
  const mac = at(nic, 'macAddress')
  return asString(mac) === undefined ? undefined : decodeMac(mac.value, mac.path)
}

function isVirtio(nic: Field): boolean {
  return (asString(at(nic, 'model')) ?? 'virtio').startsWith('virtio')
}

function wantsQueues(
  vmi: Field,
  nic: Field,
  config: BindConfig,
  running: RunningNic | undefined,
): boolean {
  // Another model opens one queue, and a tap made for several refuses it.
  if (!isVirtio(nic)) return false
  if (running?.queues !== undefined) return running.queues > 1
  if (config.isMultiQueue !== undefined) return config.isMultiQueue
  const domain = at(vmi, 'spec', 'domain')
  return asBoolean(at(domain, 'devices', 'networkInterfaceMultiqueue')) && decodeVcpus(domain) > 1
}
