// The network configuration on standard input, decoded: what a NAD author may write, and no more.
// Unknown keys are kept apart for a log line, since runtimes add their own; a known key of the
// wrong type is CNI error 7.
import { DEFAULT_MAX_FRAME, decodeMac, decodeMtu } from '../net/address.ts'
import { BOUNDS, isWithin, newName } from '../bounds.ts'
import { CNI_CODE, CniError, DecodeError, renderValue } from '../errors.ts'
import { decodeNicAddress, renderCidr } from '../net/ip.ts'
import { decodeVni } from '../wire/vni.ts'
import { isRecord, type Record_ } from '../record.ts'
import { flag, oneOf, optional, orElse, record } from '../shape.ts'
import { decodeBind, type BindConfig } from './bind-config.ts'
import type { CommonConfig } from './common-config.ts'
import type { CniArgs } from './env.ts'
import { parseCniArgs } from './env.ts'
import { isCniVersion, type CniVersion } from './version.ts'

export const PLUGIN_TYPES = ['l2wire', 'l2wire-bind'] as const
export type PluginType = (typeof PLUGIN_TYPES)[number]

export interface WireConfig extends CommonConfig {
  readonly type: 'l2wire'
  readonly wire: string
  /** Advertised MTU: payload bytes the endpoint is told; undefined leaves it to the node. */
  readonly mtuBytes: number | undefined
  /** Payload bytes the wire carries. */
  readonly maxFrameBytes: number
  /** The VNI to use where the wire crosses nodes; undefined takes one from the range. */
  readonly vni: number | undefined
  readonly requestedMac: string | undefined
  /** The IPAM plugin to ask for addresses and routes. */
  readonly ipam: string | undefined
  /** Addresses to set without asking anybody, in the kernel's spelling. */
  readonly addresses: readonly string[]
  /** What the result says of DNS, if anything. */
  readonly dns: Record_ | undefined
  /** args.cni.end: who holds the end, where the default does not fit. */
  readonly end: string | undefined
  /** args.cni.standby: the sandbox is a migration's target. Where a cluster says so itself, nobody is asked. */
  readonly isTarget: boolean
  /** Whether the end takes frames that a kernel has left unfinished: longer than its MTU, not summed up. */
  readonly offload: boolean
  /** "vm": a VM's guest is shown whether the cable leads anywhere. */
  readonly carrier: 'vm' | undefined
}

export type PluginConfig = WireConfig | BindConfig

const KNOWN_KEYS = [
  'cniVersion',
  'cniVersions',
  'name',
  'type',
  'capabilities',
  'runtimeConfig',
  'args',
  'prevResult',
  'dns',
  'ipam',
  'wire',
  'mtu',
  'maxFrame',
  'vni',
  'carrier',
  'offload',
  'attach',
  'sidecar',
  'dhcp',
  'multiQueue',
  'deviceID',
  'pciBusID',
]

/** Standard input as a JSON object. Throws CniError 6. */
export function parseConfig(text: string): Record_ {
  if (text.trim() === '')
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      'Cannot decode the network configuration: standard input is empty, expected a JSON object',
    )
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: standard input is ${renderValue(text)}, expected a JSON object`,
      { cause },
    )
  }
  if (!isRecord(value))
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: it is ${renderValue(value)}, expected a JSON object`,
    )
  return value
}

/** The configuration's spec version. Throws CniError 1 for one we do not speak. */
export function decodeCniVersion(config: Record_, supported: readonly string[]): CniVersion {
  const version = config['cniVersion']
  if (isCniVersion(version)) return version
  throw new CniError(
    CNI_CODE.INCOMPATIBLE_VERSION,
    `Cannot use "cniVersion": it is ${renderValue(version)}, expected one of ${supported.join(', ')}`,
  )
}

/** What the configuration and CNI_ARGS ask for. Throws CniError 7, or 2 for a field not supported. */
export function decodePluginConfig(config: Record_, args: CniArgs): PluginConfig {
  try {
    return decode(config, args)
  } catch (error) {
    throw error instanceof DecodeError ? invalid(error) : error
  }
}

function decode(config: Record_, args: CniArgs): PluginConfig {
  const type = config['type']
  const common: CommonConfig = {
    cniVersion: config['cniVersion'] as CniVersion,
    name: decodeName(config['name'], 'name'),
    prevResult: optional(record)(config['prevResult'], 'prevResult'),
    unknownKeys: Object.keys(config).filter(
      (key) => !KNOWN_KEYS.includes(key) && !key.startsWith('cni.dev/'),
    ),
  }
  const cni = optional(record)(optional(record)(config['args'], 'args')?.['cni'], 'args.cni') ?? {}
  if (type === 'l2wire') return decodeWire(config, common, cni, args)
  if (type === 'l2wire-bind') return decodeBind(config, common, cni, args)
  throw new DecodeError('type', type, `one of ${PLUGIN_TYPES.join(', ')}`)
}

function decodeWire(
  config: Record_,
  common: CommonConfig,
  cni: Record_,
  args: CniArgs,
): WireConfig {
  const ipam = decodeIpamType(config)
  const maxFrameBytes = orElse(decodeMtu, DEFAULT_MAX_FRAME)(config['maxFrame'], 'maxFrame')
  const mtuBytes = optional(decodeMtu)(config['mtu'], 'mtu')
  if (mtuBytes !== undefined && mtuBytes > maxFrameBytes)
    throw new DecodeError('mtu', mtuBytes, `at most "maxFrame", which is ${maxFrameBytes}`)
  // A pod's own word, by Multus' cni-args, before that of the network, which both ends share.
  const shared = optional(flag)(config['offload'], 'offload')
  const offload = optional(flag)(cni['offload'], 'args.cni.offload') ?? shared ?? true
  return {
    ...common,
    type: 'l2wire',
    wire: orElse(decodeName, common.name)(config['wire'], 'wire'),
    mtuBytes,
    maxFrameBytes,
    vni: optional(decodeVni)(config['vni'], 'vni'),
    requestedMac: decodeRequestedMac(config, args),
    ipam,
    // An IPAM plugin reads the same keys and decides on them.
    addresses: ipam === undefined ? decodeRequestedAddresses(config, cni, args) : [],
    dns: optional(record)(config['dns'], 'dns'),
    end: optional(newName(BOUNDS.holder))(cni['end'], 'args.cni.end'),
    isTarget: orElse(flag, false)(cni['standby'], 'args.cni.standby'),
    offload,
    carrier: optional(oneOf('vm'))(config['carrier'], 'carrier'),
  }
}

// runtimeConfig.mac comes for the capability "mac"; MAC= in CNI_ARGS is what older runtimes send.
function decodeRequestedMac(config: Record_, args: CniArgs): string | undefined {
  const mac = optional(record)(config['runtimeConfig'], 'runtimeConfig')?.['mac']
  if (mac !== undefined && mac !== '') return decodeMac(mac, 'runtimeConfig.mac')
  const legacy = parseCniArgs(args.args).get('MAC')
  return legacy === undefined || legacy === '' ? undefined : decodeMac(legacy, 'CNI_ARGS MAC')
}

/** The IPAM plugin that "ipam" names, if any. Throws CniError 7. */
export function decodeIpam(config: Record_): string | undefined {
  try {
    return decodeIpamType(config)
  } catch (error) {
    throw error instanceof DecodeError ? invalid(error) : error
  }
}

function decodeIpamType(config: Record_): string | undefined {
  const ipam = optional(record)(config['ipam'], 'ipam') ?? {}
  const type = ipam['type']
  if (type === '' || Object.keys(ipam).length === 0) return undefined
  // A file name in CNI_PATH, and not ourselves, who would ask ourselves again.
  if (isName(type) && !isPluginType(type)) return type
  throw new DecodeError('ipam.type', type, 'the name of an IPAM plugin like "host-local"')
}

export function isPluginType(type: unknown): type is PluginType {
  return PLUGIN_TYPES.some((one) => one === type)
}

// CNI CONVENTIONS.md, each before the next: the capability "ips", args.cni.ips, and IP= in CNI_ARGS,
// which Multus sends in any case.
function decodeRequestedAddresses(config: Record_, cni: Record_, args: CniArgs): readonly string[] {
  const runtimeConfig = optional(record)(config['runtimeConfig'], 'runtimeConfig') ?? {}
  const requests: readonly (readonly [string, unknown])[] = [
    ['runtimeConfig.ips', runtimeConfig['ips']],
    ['args.cni.ips', cni['ips']],
    ['CNI_ARGS IP', parseCniArgs(args.args).get('IP')?.split(',').filter(Boolean)],
  ]
  const [path, list] =
    requests.find(
      ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
    ) ?? []
  return path === undefined ? [] : decodeAddresses(list, path)
}

function decodeAddresses(list: unknown, path: string): readonly string[] {
  if (!Array.isArray(list))
    throw new DecodeError(path, list, 'a list of addresses like "10.0.0.2/24"')
  const addresses = list.map((value, at) => decodeNicAddress(value, `${path}[${at}]`))
  for (const [at, { address }] of addresses.entries())
    if (addresses.findIndex((one) => one.address === address) !== at)
      throw new DecodeError(`${path}[${at}]`, list[at], 'each address once')
  return addresses.map(renderCidr)
}

function invalid(cause: DecodeError): CniError {
  return new CniError(CNI_CODE.INVALID_CONFIG, cause.message, { cause })
}

/** Whether networks and wires may be called so. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && isWithin(BOUNDS.wire, value)
}

/** A name as networks and wires have. Throws DecodeError. */
export const decodeName = newName(BOUNDS.wire)
