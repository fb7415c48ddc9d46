// The network that a VM gets for the pod link that it takes over: the content of DHCP and router
// advertisements, as data. Values are in the kernel's spelling.
import { IPV6_MTU_MIN } from '../net/address.ts'
import type { ObservedAddressing } from '../steps/addressing.ts'
import { decodeRoute, type NicRoute } from '../net/route.ts'
import { decodeDhcpOption, type DhcpOption } from './vmi-dhcp-options.ts'
import {
  contains,
  getBits,
  getFamily,
  isLinkLocal6,
  parseCidr,
  renderCidr,
  toNetwork,
  type Family,
} from '../net/ip.ts'
import type { NicWish } from '../attach/launcher.ts'
import { toOnLink } from '../net/on-link.ts'
import { each, list, number, object, optional, text } from '../shape.ts'

/** The network that a VM gets from the pod link that it takes over: addresses, routes and names. */
export interface VmNetwork {
  /** The MAC of the VM's NIC. The server answers nobody else. */
  readonly mac: string
  readonly mtuBytes: number
  readonly hostname?: string
  /** "10.0.0.2/24"; "10.0.0.2/32" if none of its network is on the link. */
  readonly ipv4?: string
  /** "fd00::2/64"; "fd00::2/128" if none of its network is on the link. */
  readonly ipv6?: string
  /** The routes through the link, both families. A route without next hop is on the link. */
  readonly routes: readonly NicRoute[]
  /** The IPv6 default gateway on the link, if it is known. */
  readonly router?: Router
  /** Gateways that do not answer on the link. The pod has their MAC as a permanent neighbour's. */
  readonly silent?: Silent
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
  /** DHCPv4 options that its VMI asks for. */
  readonly dhcpOptions?: readonly DhcpOption[]
}

export interface Router {
  readonly linkLocal: string
  readonly mac: string
}

export interface Silent {
  readonly addresses: readonly string[]
  /** Of all of them. */
  readonly mac: string
}

/** As documents have it. Throws DecodeError. */
export const decodeVmNetwork = object<VmNetwork>({
  mac: text,
  mtuBytes: number,
  ...each(optional(text), 'hostname', 'ipv4', 'ipv6'),
  routes: list(decodeRoute),
  router: optional(object<Router>(each(text, 'linkLocal', 'mac'))),
  silent: optional(object<Silent>({ addresses: list(text), mac: text })),
  ...each(list(text), 'nameservers', 'searches'),
  dhcpOptions: optional(list(decodeDhcpOption)),
})

export interface VmNetworkFacts {
  readonly addressing: ObservedAddressing
  /** The pod link's. */
  readonly mac: string
  /** The DNS and options for the VM. */
  readonly mtuBytes: number
  readonly wish: NicWish
}

export interface VmNetworkFinding {
  /** Undefined for a pod link without addresses. */
  readonly vmNetwork: VmNetwork | undefined
  /** Addresses of the pod link that no VM gets. */
  readonly others: readonly string[]
}

/** RT_TABLE_MAIN. */
const TABLE_MAIN = 254

/** A pod link's network as its VM should have it. The IPv6 router is found elsewhere. */
export function toVmNetwork({ addressing, mac, mtuBytes, wish }: VmNetworkFacts): VmNetworkFinding {
  const routes = listMain(addressing)
  const [[first4, ...more4], all6] = listOwnAddresses(addressing)
  // Guests with that MTU have no IPv6, and no advertisement may contain it (RFC 8200).
  const [first6, ...more6] = mtuBytes < IPV6_MTU_MIN ? [] : all6
  const others = [...more4, ...(first6 === undefined ? all6 : more6)]
  if (first4 === undefined && first6 === undefined) return { vmNetwork: undefined, others }
  const ipv4 = first4 === undefined ? undefined : toOnLink(first4, routes)
  const ipv6 = first6 === undefined ? undefined : toOnLink(first6, routes)
  const { hostname } = wish
  return {
    others,
    vmNetwork: {
      mac: wish.mac ?? mac,
      mtuBytes,
      ...(hostname === undefined ? {} : toHostname(hostname)),
      ...(ipv4 === undefined ? {} : { ipv4 }),
      ...(ipv6 === undefined ? {} : { ipv6 }),
      routes: [...toRoutes(routes, ipv4, 4), ...toRoutes(routes, ipv6, 6)],
      nameservers: wish.dns.nameservers,
      searches: wish.dns.searches,
      ...(wish.dhcpOptions === undefined ? {} : { dhcpOptions: wish.dhcpOptions }),
    },
  }
}

/** A pod link's own addresses of each family. A VM gets the first of them: the one that its CNI plugin set first. */
export function listOwnAddresses({
  addresses,
  learnt,
}: ObservedAddressing): readonly [ipv4: readonly string[], ipv6: readonly string[]] {
  return [
    addresses.filter((address) => getFamily(address) === 4),
    // The guest hears a router's advertisements itself, and asks that router. The kernel lists the newest address
    // first.
    addresses.filter((address) => isRoutable6(address) && !learnt.includes(address)).toReversed(),
  ]
}

function listMain({ routes }: ObservedAddressing): readonly NicRoute[] {
  return routes.filter(({ table = TABLE_MAIN }) => table === TABLE_MAIN)
}

/**
 * The MTU of a VM in place of the pod's stack: the link's, or less if a default route has less. Some CNI
 * plugins (Cilium) leave the device its own MTU and set their tunnel's on the routes.
 */
export function toToldMtu(linkMtuBytes: number, addressing: ObservedAddressing): number {
  const defaults = listMain(addressing).filter(({ dst }) => Object.values(DEFAULT).includes(dst))
  return Math.min(linkMtuBytes, ...defaults.flatMap(({ mtu }) => mtu ?? []))
}

/** The fault, as text, if a VM has an address that its pod link, with these addresses, no longer has. */
export function findLostAddress(
  vmNetwork: VmNetwork,
  addresses: readonly string[],
): string | undefined {
  const there = addresses.map(toAddress)
  const lost = [vmNetwork.ipv4, vmNetwork.ipv6]
    .flatMap((address) => (address === undefined ? [] : toAddress(address)))
    .find((address) => !there.includes(address))
  return lost === undefined
    ? undefined
    : `its addresses are "${addresses.join(', ')}", expected ${lost} among them, which the VM was told`
}

function toAddress(cidr: string): string {
  return cidr.split('/')[0] ?? cidr
}

/** The next hop of a family's default route. */
export function getDefaultHop(vmNetwork: VmNetwork, family: Family): string | undefined {
  return vmNetwork.routes.find(({ dst }) => dst === DEFAULT[family])?.gw
}

const DEFAULT: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' }

// A guest cannot use a name that is no DNS label.
function toHostname(name: string): { readonly hostname?: string } {
  const label = name.split('.')[0] ?? ''
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/i.test(label) ? { hostname: label } : {}
}

function isRoutable6(address: string): boolean {
  return getFamily(address) === 6 && !isLinkLocal6(address)
}

function toNetworkText(address: string): string {
  const cidr = parseCidr(address)
  return cidr === undefined ? address : renderCidr(toNetwork(cidr))
}

/** Of one family, the best route to each destination. */
function toRoutes(
  routes: readonly NicRoute[],
  address: string | undefined,
  family: Family,
): readonly NicRoute[] {
  if (address === undefined) return []
  const own = toNetworkText(address)
  const found = new Map<string, NicRoute>()
  const usable = routes
    .filter(({ dst }) => getFamily(dst) === family && dst !== own && isTold(dst))
    .toSorted((one, other) => (one.priority ?? 0) - (other.priority ?? 0))
  for (const { dst, gw } of usable)
    if (!found.has(dst)) found.set(dst, gw === undefined ? { dst } : { dst, gw })
  const onLink = [own, ...usable.filter(isOnLink).map(({ dst }) => dst)]
  const hops = [...new Set([...found.values()].flatMap(({ gw }) => gw ?? []))]
  const bare = hops
    .filter((gw) => !isLinkLocal6(gw) && !onLink.some((network) => contains(network, gw)))
    .map((gw): NicRoute => ({ dst: `${gw}/${getBits(gw)}` }))
  const told = [...found.values()]
  // Clients set them one by one, so a next hop must be reachable before a route names it.
  return [...bare, ...told.filter(isOnLink), ...told.filter((route) => !isOnLink(route))]
}

function isOnLink({ gw }: NicRoute): boolean {
  return gw === undefined
}

// Every IPv6 interface has these.
function isTold(dst: string): boolean {
  return !isLinkLocal6(dst) && !dst.startsWith('ff')
}
