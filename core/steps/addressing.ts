// What an interface is given beyond its wire: addresses and routes, how they are set, and what of
// them is missing. Values are in the kernel's spelling; core/cni/ipam.ts decodes them.
import { getFamily } from '../net/ip.ts'
import { decodeRoute, type NicRoute } from '../net/route.ts'
import { list, object, optional, text } from '../shape.ts'
import type { Step } from './step.ts'

export interface NicAddress {
  /** "10.0.0.2/24". */
  readonly address: string
  /** The next hop of routes that name none. */
  readonly gateway?: string
}

export interface Addressing {
  readonly ips: readonly NicAddress[]
  readonly routes: readonly NicRoute[]
}

/** As documents have it. Throws DecodeError. */
export const decodeAddressing = object<Addressing>({
  ips: list(object<NicAddress>({ address: text, gateway: optional(text) })),
  routes: list(decodeRoute),
})

export const NO_ADDRESSING: Addressing = { ips: [], routes: [] }

/** RT_SCOPE_LINK of linux/rtnetlink.h: from here on a destination is reached without a next hop. */
const SCOPE_LINK = 253
/** RT_TABLE_MAIN. */
const TABLE_MAIN = 254

/** Sets addresses, then routes that have their next hops. The interface must be up: routes need it. */
export function planAddressing(
  netns: string,
  dev: string,
  { ips, routes }: Addressing,
): readonly Step[] {
  return [
    ...ips.map(({ address }): Step => ({ op: 'add-address', netns, dev, address })),
    ...routes.map((route): Step => ({ op: 'add-route', netns, dev, route })),
  ]
}

/** Whether the interface must speak IPv6, which a pod may have switched off. */
export function needsIpv6({ ips }: Addressing): boolean {
  return ips.some(({ address }) => getFamily(address) === 6)
}

/** Every route with its next hop. CNI spec, "ADD Success": one without may use an address' gateway. */
export function withNextHops({ ips, routes }: Addressing): Addressing {
  const toHop = (route: NicRoute): NicRoute => {
    if (route.gw !== undefined || (route.scope ?? 0) >= SCOPE_LINK) return route
    const family = getFamily(route.dst)
    const gateways = ips.flatMap(({ gateway }) => gateway ?? [])
    const gw = gateways.find((gateway) => getFamily(gateway) === family)
    return gw === undefined ? route : { ...route, gw }
  }
  return { ips, routes: routes.map(toHop) }
}

/** What the kernel has of a namespace's addresses and routes. */
export interface ObservedAddressing {
  /** Of the one interface: "10.0.0.2/24". */
  readonly addresses: readonly string[]
  /** Those of them that somebody on the link gave the kernel: a router, by its advertisements. */
  readonly learnt: readonly string[]
  /** Those that lead out through the interface. */
  readonly routes: readonly NicRoute[]
}

/** In words, the first thing that is missing; what is there beside it is the owner's own. */
export function findMissing(
  wanted: Addressing,
  observed: Omit<ObservedAddressing, 'learnt'>,
): string | undefined {
  const address = wanted.ips.find((ip) => !observed.addresses.includes(ip.address))
  if (address !== undefined) return `its address ${address.address} is gone`
  const route = wanted.routes.find(
    (one) => !observed.routes.some((there) => isSameRoute(one, there)),
  )
  return route === undefined ? undefined : `its route ${describeRoute(route)} is gone`
}

function describeRoute({ dst, gw }: NicRoute): string {
  return gw === undefined ? dst : `${dst} via ${gw}`
}

function isSameRoute(wanted: NicRoute, there: NicRoute): boolean {
  return (
    wanted.dst === there.dst &&
    wanted.gw === there.gw &&
    (wanted.table ?? TABLE_MAIN) === (there.table ?? TABLE_MAIN) &&
    (wanted.priority === undefined || wanted.priority === there.priority)
  )
}
