// The keys of a network configuration of type l2wire-bind, decoded: how a VM is attached to a pod link.
import { DecodeError } from '../errors.ts'
import { decodeIp } from '../ip.ts'
import { decodeRecord, type Record_ } from '../record.ts'
import { isDnsName } from '../dns-name.ts'
import type { PodDns } from '../resolv-conf.ts'
import type { CommonConfig } from './config.ts'
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
    attach: decodeAttach(config['attach']),
    hasSidecar: decodeSwitch(config, 'sidecar') ?? true,
    hasDhcp: decodeSwitch(config, 'dhcp') ?? true,
    dns: decodeDns(config['dns']),
    isMultiQueue: decodeSwitch(config, 'multiQueue'),
    deviceID: decodeDeviceId(config['deviceID']),
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

function decodeAttach(value: unknown): BindConfig['attach'] {
  if (value === undefined) return 'tap'
  if (value === 'tap' || value === 'macvtap') return value
  throw new DecodeError('attach', value, 'one of tap, macvtap')
}

function decodeSwitch(config: Record_, key: string): boolean | undefined {
  const value = config[key]
  if (value === undefined || typeof value === 'boolean') return value
  throw new DecodeError(key, value, 'true or false')
}

function decodeDeviceId(value: unknown): string | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value === 'string' && /^[\w.:-]{1,128}$/.test(value)) return value
  throw new DecodeError('deviceID', value, 'the ID of a device, as Multus writes it')
}

// CNI SPEC.md, "Network configuration lists", dns: of its keys a guest can be told these.
function decodeDns(value: unknown): PodDns | undefined {
  const dns = decodeRecord(value, 'dns')
  if (dns === undefined) return undefined
  const own = dns['domain'] === undefined ? [] : [decodeDomain(dns['domain'], 'dns.domain')]
  return {
    nameservers: decodeList(dns['nameservers'], 'dns.nameservers', decodeIp),
    searches: [...own, ...decodeList(dns['search'], 'dns.search', decodeDomain)],
  }
}

function decodeList(
  value: unknown,
  path: string,
  decodeOne: (one: unknown, path: string) => string,
): readonly string[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new DecodeError(path, value, 'a list')
  return value.map((one, at) => decodeOne(one, `${path}[${at}]`))
}

function decodeDomain(value: unknown, path: string): string {
  if (typeof value === 'string' && isDnsName(value.replace(/\.$/, ''))) return value
  throw new DecodeError(path, value, 'a domain name of 253 characters at most')
}
