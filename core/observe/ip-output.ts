// What iproute2's JSON says of a namespace's addresses and routes.
import type { NicRoute } from '../net/route.ts'
import { getBits, parseCidr, type Family } from '../net/ip.ts'
import { parseToolList } from './tool-json.ts'

/** The keys we read of ip-address(8)'s JSON. */
interface IpAddress {
  readonly addr_info?: readonly {
    readonly local?: string
    readonly prefixlen?: number
    /** It has a lifetime: a router's advertisement gave it, or DHCP. */
    readonly dynamic?: boolean
  }[]
}

/** The output of `ip -j address show dev …`. */
export function parseAddresses(json: string): readonly string[] {
  const links = parseToolList(json, 'ip -j address') as readonly IpAddress[]
  return links.flatMap(({ addr_info: infos }) =>
    (infos ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  )
}

/** Those of them that somebody on the link gave the kernel, and may take away. */
export function parseLearntAddresses(json: string): readonly string[] {
  const links = parseToolList(json, 'ip -j address') as readonly IpAddress[]
  const infos = links.flatMap(({ addr_info: list }) => list ?? [])
  return infos
    .filter(({ dynamic }) => dynamic === true)
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
}

/** The keys we read of ip-route(8)'s JSON. */
interface IpRoute extends IpHop {
  /** "unreachable" and others; a route that leads somewhere has none. */
  readonly type?: string
  readonly dst?: string
  readonly table?: string
  readonly metric?: number
  readonly metrics?: readonly { readonly mtu?: number }[]
  readonly nexthops?: readonly IpHop[]
}

interface IpHop {
  readonly dev?: string
  readonly gateway?: string
}

/** The routes through one interface in the output of `ip -N -j route show table all` of a family. */
export function parseRoutes(json: string, dev: string, family: Family): readonly NicRoute[] {
  const list = parseToolList(json, 'ip -j route') as readonly IpRoute[]
  return list.flatMap((route) => {
    const mtu = route.metrics?.flatMap((metrics) => metrics.mtu ?? [])[0]
    return (route.nexthops ?? [route])
      .filter((hop) => hop.dev === dev)
      .map((hop) => ({
        dst: normalizeDestination(route.dst ?? '', family),
        ...(hop.gateway === undefined ? {} : { gw: hop.gateway }),
        ...(mtu === undefined ? {} : { mtu }),
        ...(route.table === undefined ? {} : { table: Number(route.table) }),
        priority: route.metric ?? 0,
      }))
  })
}

/** The devices that routes in the output of `ip -j route show` lead out through. */
export function parseDevices(json: string): readonly string[] {
  const list = parseToolList(json, 'ip -j route') as readonly IpRoute[]
  // One that refuses stands, with IPv6, on the loopback device.
  return list
    .filter(({ type }) => type === undefined)
    .flatMap((route) => (route.nexthops ?? [route]).flatMap(({ dev }) => dev ?? []))
}

// iproute2 says "default", and leaves the prefix length of a single address out.
function normalizeDestination(dst: string, family: Family): string {
  if (dst === 'default') return family === 4 ? '0.0.0.0/0' : '::/0'
  return parseCidr(dst) === undefined ? `${dst}/${getBits(dst)}` : dst
}
