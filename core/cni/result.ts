// What a plugin prints: a result per spec version, or an error. CNI SPEC.md, "Section 5: Result Types".
import { NO_ADDRESSING, type Addressing } from '../steps/addressing.ts'
import type { NicRoute } from '../net/route.ts'
import type { CniError } from '../errors.ts'
import { renderCauses } from '../errors.ts'
import { getFamily } from '../net/ip.ts'
import { toPrintable } from '../printable.ts'
import { isRecord } from '../record.ts'
import type { CniVersion } from './version.ts'

export interface CniInterface {
  readonly name: string
  readonly mac?: string
  readonly mtuBytes: number
  /** Path of the network namespace it is in; missing in the node's own. */
  readonly sandbox?: string
}

type Json = Readonly<Record<string, unknown>>

export interface Added {
  /** The pod end last: addresses are its own. */
  readonly interfaces: readonly CniInterface[]
  readonly addressing: Addressing
  readonly dns: Json | undefined
}

export const NOTHING_ADDED: Added = {
  interfaces: [],
  addressing: NO_ADDRESSING,
  dns: undefined,
}

/** The ADD result: what an earlier plugin of the chain made, passed on, and what we made behind it. */
export function toAddResult(version: CniVersion, added: Added, prevResult: Json | undefined): Json {
  const interfaces = [
    ...readList(prevResult, 'interfaces'),
    ...added.interfaces.map((one) => renderInterface(version, one)),
  ]
  const ips = [
    ...readList(prevResult, 'ips'),
    ...added.addressing.ips.map((ip) => ({
      // Before 1.0.0 an address says its family.
      ...(isBefore1(version) ? { version: String(getFamily(ip.address)) } : {}),
      ...ip,
      interface: interfaces.length - 1,
    })),
  ]
  const routes = [
    ...readList(prevResult, 'routes'),
    ...added.addressing.routes.map((route) => renderRoute(version, route)),
  ]
  return {
    ...prevResult,
    cniVersion: version,
    ...(interfaces.length > 0 ? { interfaces } : {}),
    ...(ips.length > 0 ? { ips } : {}),
    ...(routes.length > 0 ? { routes } : {}),
    ...(hasKeys(added.dns) ? { dns: added.dns } : {}),
  }
}

/** What a result says of an interface in a namespace, if it lists it. */
export function findListed(
  result: Json,
  name: string,
  sandbox: string,
): { readonly mac: string | undefined; readonly mtu: number | undefined } | undefined {
  const listed = readList(result, 'interfaces').find(
    (one) => isRecord(one) && one['name'] === name && one['sandbox'] === sandbox,
  )
  if (!isRecord(listed)) return undefined
  const { mac, mtu } = listed
  return {
    mac: typeof mac === 'string' && mac !== '' ? mac.toLowerCase() : undefined,
    mtu: typeof mtu === 'number' && mtu !== 0 ? mtu : undefined,
  }
}

function renderInterface(
  version: CniVersion,
  { name, mac, mtuBytes, sandbox }: CniInterface,
): Json {
  return {
    name,
    ...(mac === undefined ? {} : { mac }),
    // "mtu" came with 1.1.0.
    ...(version === '1.1.0' ? { mtu: mtuBytes } : {}),
    ...(sandbox === undefined ? {} : { sandbox }),
  }
}

function renderRoute(version: CniVersion, route: NicRoute): Json {
  // All but these two came with 1.1.0.
  const { dst, gw } = route
  return version === '1.1.0' ? { ...route } : { dst, ...(gw === undefined ? {} : { gw }) }
}

function isBefore1(version: CniVersion): boolean {
  return version.startsWith('0.')
}

function readList(owner: Json | undefined, key: string): readonly unknown[] {
  const list = owner?.[key]
  return Array.isArray(list) ? (list as readonly unknown[]) : []
}

function hasKeys(value: Json | undefined): boolean {
  return Object.keys(value ?? {}).length > 0
}

export function toErrorResult(version: string, error: CniError): Json {
  const details =
    error.details ?? (error.cause === undefined ? undefined : renderCauses(error.cause))
  return {
    cniVersion: version,
    code: error.code,
    // Runtimes print both.
    msg: toPrintable(error.message),
    ...(details === undefined || details === error.message
      ? {}
      : { details: toPrintable(details) }),
  }
}
