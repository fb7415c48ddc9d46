// What a launcher pod and its VM want of one NIC, as values. KubeVirt's fields as of v1.9.0.
import type { BindConfig } from '../cni/bind-config.ts'
import { decodeDhcpOptions, type DhcpOption } from '../podnetwork/vmi-dhcp-options.ts'
import type { PodRef } from '../cni/env.ts'
import { decodeMac } from '../domain/address.ts'
import type { Field } from '../domain/field.ts'
import { asArray, asBoolean, asString, at, isAbsent } from '../domain/field.ts'
import { listHotplugBlockVolumes } from '../domain/hotplug-volumes.ts'
import { findRunningNic, type RunningNic } from '../domain/running-nic.ts'
import { decodeVcpus } from '../domain/vcpu.ts'
import { toPodOwner, type ObjectRef } from '../wire/holder.ts'
import { toHotplugNotice, type Notice } from '../wire/notice.ts'
import { toSource, type Source } from '../podnetwork/migration-source.ts'
import type { DnsSources, PodDns } from '../podnetwork/pod-dns.ts'
import { toPodDns } from '../podnetwork/pod-dns.ts'

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
  /** What a VM has where it runs, if it is to come from there: this is a migration's target. */
  readonly source?: Source
  /** What its users are to know once it is attached. */
  readonly warning?: { readonly subjects: readonly ObjectRef[]; readonly notice: Notice }
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
      ? {
          mac: config.standby?.mac,
          isMultiQueue: config.isMultiQueue ?? false,
          ...(launcher === undefined ? toStandbySource(config) : {}),
        }
      : {
          // A VM on its way from another pod brings the MAC of that pod's link.
          mac: decodeNicMac(nic) ?? running?.mac,
          isMultiQueue: wantsQueues(vmi, nic, config, running),
          ...(isAbsent(at(nic, 'dhcpOptions')) ? {} : { dhcpOptions: decodeDhcpOptions(nic) }),
          ...findWarning(vmi, config, launcher),
          ...findSource(launcher, running?.mac),
        }),
  }
}

function findSource(
  launcher: Launcher | undefined,
  mac: string | undefined,
): Pick<NicWish, 'source'> {
  const source = toSource(launcher?.pod, launcher?.vmi, mac)
  return source === undefined ? {} : { source }
}

// Without a cluster the configuration itself says what the VM has.
function toStandbySource({ standby }: BindConfig): Pick<NicWish, 'source'> {
  if (standby?.addresses === undefined) return {}
  return { source: { mac: standby.mac, addresses: standby.addresses, subjects: [] } }
}

// A macvtap is a device that KubeVirt does not know of.
function findWarning(
  vmi: Field,
  config: BindConfig,
  launcher: Launcher | undefined,
): Pick<NicWish, 'warning'> {
  const volumes = config.attach === 'macvtap' ? listHotplugBlockVolumes(vmi) : []
  if (volumes.length === 0) return {}
  const subjects = toPodOwner(launcher?.pod, launcher?.vmi)?.subjects ?? []
  return { warning: { subjects, notice: toHotplugNotice(config.logicNetworkName, volumes) } }
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
