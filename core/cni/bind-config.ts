// The keys of a network configuration of type l2wire-bind, decoded: how a VM is attached to a pod link.
import { DecodeError } from '../errors.ts'
import { decodeMac } from '../net/address.ts'
import { decodeIp } from '../net/ip.ts'
import type { Record_ } from '../record.ts'
import { flag, list, oneOf, optional, orElse, record } from '../shape.ts'
import { isDnsName } from '../net/dns-name.ts'
import type { PodDns } from '../podnetwork/pod-dns.ts'
import type { CommonConfig } from './common-config.ts'
import type { CniArgs } from './env.ts'

export interface BindConfig extends CommonConfig {
  readonly type: 'l2wire-bind'
  readonly attach: 'tap' | 'macvtap'
  /** The VMI's network name, injected by KubeVirt through Multus' cni-args. */
  readonly logicNetworkName: string
  /** Whether a sidecar tells the guest its MTU; without one KubeVirt tells it the pod link's. */
  readonly hasSidecar: boolean
  /** Whether the VM is told the pod link's addresses, where it has some. */
  readonly hasDhcp: boolean
  /** What the VM is told of DNS; undefined leaves it to the pod. */
  readonly dns: PodDns | undefined
  /** Whether the tap is made for several queues; undefined leaves it to the VMI. */
  readonly isMultiQueue: boolean | undefined
  /** The device that a device plugin gave the pod, as Multus passes it on. */
  readonly deviceID: string | undefined
  /** args.cni.standby: the sandbox is a migration's target. Where a cluster says so itself, nobody is asked. */
  readonly standby: Standby | undefined
}

/** What a VM has where it runs, as far as args.cni says it. */
export interface Standby {
  readonly mac: string | undefined
  readonly addresses: readonly string[] | undefined
}

/** Throws DecodeError. */
export function decodeBind(
  config: Record_,
  common: CommonConfig,
  cni: Record_,
  args: CniArgs,
): BindConfig {
  const shared = {
    ...common,
    type: 'l2wire-bind' as const,
    attach: orElse(oneOf('tap', 'macvtap'), 'tap' as const)(config['attach'], 'attach'),
    hasSidecar: orElse(flag, true)(config['sidecar'], 'sidecar'),
    hasDhcp: orElse(flag, true)(config['dhcp'], 'dhcp'),
    dns: decodeDns(config['dns']),
    isMultiQueue: optional(flag)(config['multiQueue'], 'multiQueue'),
    deviceID: decodeDeviceId(config['deviceID']),
    standby: decodeStandby(cni),
  }
  const logicNetworkName = cni['logicNetworkName']
  const isNeeded = args.command === 'ADD' || args.command === 'CHECK'
  if (logicNetworkName === undefined && !isNeeded) return { ...shared, logicNetworkName: '' }
  // KubeVirt admits these as network names (pkg/network/admitter, v1.9.0).
  if (typeof logicNetworkName !== 'string' || !/^[A-Za-z0-9_-]{1,253}$/.test(logicNetworkName))
    throw new DecodeError(
      'args.cni.logicNetworkName',
      logicNetworkName,
      'the name of a network of the VMI, which KubeVirt gives to its binding plugins',
    )
  return { ...shared, logicNetworkName }
}

function decodeDeviceId(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value === 'string' && /^[\w.:-]{1,128}$/.test(value)) return value
  throw new DecodeError('deviceID', value, 'the ID of a device, as Multus writes it')
}

function decodeStandby(cni: Record_): Standby | undefined {
  if (!orElse(flag, false)(cni['standby'], 'args.cni.standby')) return undefined
  return {
    mac: optional(decodeMac)(cni['mac'], 'args.cni.mac'),
    addresses: optional(list(decodeIp))(cni['ips'], 'args.cni.ips'),
  }
}

// CNI SPEC.md, "Network configuration lists", dns: of its keys a guest can be told these.
function decodeDns(value: unknown): PodDns | undefined {
  const dns = optional(record)(value, 'dns')
  if (dns === undefined) return undefined
  const own = dns['domain'] === undefined ? [] : [decodeDomain(dns['domain'], 'dns.domain')]
  return {
    nameservers: orElse(list(decodeIp), [])(dns['nameservers'], 'dns.nameservers'),
    searches: [...own, ...orElse(list(decodeDomain), [])(dns['search'], 'dns.search')],
  }
}

function decodeDomain(value: unknown, path: string): string {
  if (typeof value === 'string' && isDnsName(value.replace(/\.$/, ''))) return value
  throw new DecodeError(path, value, 'a domain name of 253 characters at most')
}
