// What an IPAM plugin answers, decoded: the abbreviated result of CNI SPEC.md, "Delegated plugins
// (IPAM)", and what a CHECK is to look for. Null is taken as a key that is not there.
import type { Addressing, NicAddress } from '../steps/addressing.ts'
import type { NicRoute } from '../net/route.ts'
import { DecodeError } from '../errors.ts'
import {
  decodeCidr,
  decodeIp,
  decodeNicAddress,
  getFamily,
  parseCidr,
  renderCidr,
  toNetwork,
} from '../net/ip.ts'
import { isRecord } from '../record.ts'
import { list, record, whole, type Decode } from '../shape.ts'

type Json = Readonly<Record<string, unknown>>

export interface IpamResult extends Addressing {
  readonly dns: Json | undefined
}

/** An IPAM plugin's result of any spec version. Throws DecodeError. */
export function decodeIpamResult(result: Json): IpamResult {
  const ips = [
    ...readList(result, 'ips').map((value, at) => decodeIpConfig(value, `ips[${at}]`)),
    ...LEGACY_KEYS.flatMap((key) => decodeLegacyIps(result[key], key)),
  ]
  if (ips.length === 0) throw new DecodeError('ips', result['ips'], 'at least one address')
  const routes = [
    ...readList(result, 'routes').map((value, at) => decodeRoute(value, `routes[${at}]`)),
    ...LEGACY_KEYS.flatMap((key) => decodeLegacyRoutes(result[key], key)),
  ]
  return { ips, routes: dropRepeated(routes), dns: read(result, 'dns', record) }
}

/** What of an addressing the result of the ADD still lists: the rest was another plugin's to change. */
export function pickListed(addressing: Addressing, prevResult: Json): Addressing {
  const listed = (key: string, field: string): ReadonlySet<string> =>
    new Set(
      readList(prevResult, key).flatMap((value) => {
        const text = isRecord(value) ? value[field] : undefined
        const cidr = typeof text === 'string' ? parseCidr(text) : undefined
        if (cidr === undefined) return []
        return renderCidr(key === 'routes' ? toNetwork(cidr) : cidr)
      }),
    )
  const addresses = listed('ips', 'address')
  const destinations = listed('routes', 'dst')
  return {
    ips: addressing.ips.filter(({ address }) => addresses.has(address)),
    routes: addressing.routes.filter(({ dst }) => destinations.has(dst)),
  }
}

const decodeList = list((value) => value)
const decodeUint32 = whole(0, 2 ** 32 - 1, 'a whole number of 32 bits')

// Results of spec versions 0.1.0 and 0.2.0: one address per family, with its routes inside.
const LEGACY_KEYS = ['ip4', 'ip6'] as const

function decodeLegacyIps(value: unknown, key: string): readonly NicAddress[] {
  if (!isGiven(value)) return []
  const legacy = record(value, key)
  return [decodeIpConfig({ ...legacy, address: legacy['ip'] }, key)]
}

function decodeLegacyRoutes(value: unknown, key: string): readonly NicRoute[] {
  if (!isGiven(value)) return []
  return readList(record(value, key), 'routes').map((route, at) =>
    decodeRoute(route, `${key}.routes[${at}]`),
  )
}

function decodeIpConfig(value: unknown, path: string): NicAddress {
  const config = record(value, path)
  const address = renderCidr(decodeNicAddress(config['address'], `${path}.address`))
  const gateway = read(config, 'gateway', decodeIp, path)
  return { address, ...(gateway === undefined ? {} : { gateway }) }
}

function decodeRoute(value: unknown, path: string): NicRoute {
  const route = record(value, path)
  const dst = toNetwork(decodeCidr(route['dst'], `${path}.dst`))
  const gw = read(route, 'gw', decodeIp, path)
  if (gw !== undefined && getFamily(gw) !== getFamily(dst.address))
    throw new DecodeError(`${path}.gw`, gw, `an IPv${getFamily(dst.address)} address, as "dst" is`)
  // The reference plugins leave a zero out; who writes it means the same. Scope 0 is one, "global".
  const numbers = (['mtu', 'advmss', 'priority', 'table', 'scope'] as const).flatMap((key) => {
    const number = read(route, key, decodeUint32, path)
    return number === undefined || (number === 0 && key !== 'scope') ? [] : [[key, number] as const]
  })
  return {
    dst: renderCidr(dst),
    ...(gw === undefined ? {} : { gw }),
    ...Object.fromEntries(numbers),
  }
}

function dropRepeated(routes: readonly NicRoute[]): readonly NicRoute[] {
  return [...new Map(routes.map((route) => [JSON.stringify(route), route])).values()]
}

function read<T>(owner: Json, key: string, decode: Decode<T>, path?: string): T | undefined {
  const value = owner[key]
  return isGiven(value) ? decode(value, path === undefined ? key : `${path}.${key}`) : undefined
}

function readList(owner: Json, key: string): readonly unknown[] {
  return read(owner, key, decodeList) ?? []
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null
}
