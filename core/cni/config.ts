// The network configuration on standard input, decoded: what a NAD author may write, and no more.
// Unknown keys are kept apart for a log line, since runtimes add their own; a known key of the
// wrong type is CNI error 7.
import { DEFAULT_MAX_FRAME, decodeMac, decodeMtu } from '../address.ts'
import { CNI_CODE, CniError, DecodeError, renderValue } from '../errors.ts'
import { decodeNicAddress, renderCidr } from '../ip.ts'
import { VNI_MAX } from '../vni.ts'
import { decodeRecord, isRecord, type Record_ } from '../record.ts'
import { decodeBind } from './bind-config.ts'
import type { BindConfig } from './bind-config.ts'
import type { CniArgs } from './env.ts'
import { parseCniArgs } from './env.ts'
import { isCniVersion, type CniVersion } from './version.ts'

export const PLUGIN_TYPES = ['l2wire', 'l2wire-bind'] as const
export type PluginType = (typeof PLUGIN_TYPES)[number]

export const DEFAULT_SOCKET = '/run/l2wire/agent.sock'

export interface CommonConfig {
  readonly cniVersion: CniVersion
  /** The network's name: the NAD's config name. */
  readonly name: string
  readonly prevResult: Record_ | undefined
  /** Keys we do not know, in order. */
  readonly unknownKeys: readonly string[]
}

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
  /** "vm": a VM's guest is shown whether the cable leads anywhere. */
  readonly carrier: 'vm' | undefined
}

export type PluginConfig = WireConfig | BindConfig

// CNI SPEC.md, "Network configuration lists": what a network name may look like. It ends up in file
// names and device aliases, hence the length.
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
const NAME_EXPECTED = 'a letter or digit, then letters, digits, "_", "." or "-", 128 at most'
// "vm/r1", "pod/h1": a kind may stand before the name.
const HOLDER = /^([a-z]{1,20}\/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

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
  'socket',
  'wire',
  'mtu',
  'maxFrame',
  'vni',
  'carrier',
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

/** The agent's socket a configuration names. Throws CniError 7. */
export function decodeSocket(config: Record_): string {
  const socket = config['socket']
  if (socket === undefined) return DEFAULT_SOCKET
  // sun_path holds 108 bytes with its NUL (unix(7)).
  if (typeof socket === 'string' && /^\/[^\0]{1,106}$/.test(socket)) return socket
  throw invalid(new DecodeError('socket', socket, 'an absolute path of at most 107 bytes'))
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
    prevResult: decodeRecord(config['prevResult'], 'prevResult'),
    unknownKeys: Object.keys(config).filter(
      (key) => !KNOWN_KEYS.includes(key) && !key.startsWith('cni.dev/'),
    ),
  }
  const cni = decodeRecord(decodeRecord(config['args'], 'args')?.['cni'], 'args.cni') ?? {}
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
  const vni = config['vni']
  if (vni !== undefined && !(Number.isInteger(vni) && Number(vni) >= 1 && Number(vni) <= VNI_MAX))
    throw new DecodeError('vni', vni, `a whole number from 1 to ${VNI_MAX}`)
  const maxFrame = config['maxFrame']
  const maxFrameBytes = maxFrame === undefined ? DEFAULT_MAX_FRAME : decodeMtu(maxFrame, 'maxFrame')
  const mtu = config['mtu']
  const mtuBytes = mtu === undefined ? undefined : decodeMtu(mtu, 'mtu')
  if (mtuBytes !== undefined && mtuBytes > maxFrameBytes)
    throw new DecodeError('mtu', mtuBytes, `at most "maxFrame", which is ${maxFrameBytes}`)
  const end = cni['end']
  if (end !== undefined && !(typeof end === 'string' && HOLDER.test(end)))
    throw new DecodeError('args.cni.end', end, 'a name like "vm/r1" or "h1"')
  const carrier = config['carrier']
  if (carrier !== undefined && carrier !== 'vm') throw new DecodeError('carrier', carrier, '"vm"')
  return {
    ...common,
    type: 'l2wire',
    wire: config['wire'] === undefined ? common.name : decodeName(config['wire'], 'wire'),
    mtuBytes,
    maxFrameBytes,
    vni: vni === undefined ? undefined : Number(vni),
    requestedMac: decodeRequestedMac(config, args),
    ipam,
    // An IPAM plugin reads the same keys and decides on them.
    addresses: ipam === undefined ? decodeRequestedAddresses(config, cni, args) : [],
    dns: decodeRecord(config['dns'], 'dns'),
    end,
    carrier,
  }
}

// runtimeConfig.mac comes for the capability "mac"; MAC= in CNI_ARGS is what older runtimes send.
function decodeRequestedMac(config: Record_, args: CniArgs): string | undefined {
  const mac = decodeRecord(config['runtimeConfig'], 'runtimeConfig')?.['mac']
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
  const ipam = decodeRecord(config['ipam'], 'ipam') ?? {}
  const type = ipam['type']
  if (type === '' || Object.keys(ipam).length === 0) return undefined
  // A file name in CNI_PATH, and not ourselves, who would ask ourselves again.
  const isPlugin = typeof type === 'string' && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(type)
  if (isPlugin && !isPluginType(type)) return type
  throw new DecodeError('ipam.type', type, 'the name of an IPAM plugin like "host-local"')
}

function isPluginType(type: string): boolean {
  return PLUGIN_TYPES.some((one) => one === type)
}

// CNI CONVENTIONS.md, each before the next: the capability "ips", args.cni.ips, and IP= in CNI_ARGS,
// which Multus sends in any case.
function decodeRequestedAddresses(config: Record_, cni: Record_, args: CniArgs): readonly string[] {
  const runtimeConfig = decodeRecord(config['runtimeConfig'], 'runtimeConfig') ?? {}
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

/** A name as networks and wires have. Throws DecodeError. */
export function decodeName(value: unknown, path: string): string {
  if (typeof value === 'string' && NAME.test(value)) return value
  throw new DecodeError(path, value, NAME_EXPECTED)
}
