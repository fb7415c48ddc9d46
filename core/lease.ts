// What a VM is told about the pod link whose place it takes: DHCP's and a router advertisement's words,
// as data. Values are in the kernel's spelling.
import type { NicRoute, ObservedAddressing } from './addressing.ts'
import type { DhcpOption } from './dhcp-options.ts'
import {
  contains,
  getBits,
  getFamily,
  isLinkLocal6,
  parseCidr,
  renderCidr,
  toNetwork,
  type Family,
} from './ip.ts'
import type { NicWish } from './launcher.ts'
import { toOnLink } from './on-link.ts'

export interface Lease {
  /** Of the VM's NIC; nobody else is answered. */
  readonly mac: string
  readonly mtuBytes: number
  readonly hostname?: string
  /** "10.0.0.2/24"; "10.0.0.2/32" where none of its network is on the link. */
  readonly ipv4?: string
  /** "fd00::2/64"; "fd00::2/128" where none of its network is on the link. */
  readonly ipv6?: string
  /** Those that lead out through the link, both families; one without next hop is on the link. */
  readonly routes: readonly NicRoute[]
  /** Who is the IPv6 default gateway on the link, where that is known. */
  readonly router?: Router
  /** Gateways that nobody on the link answers for: the pod has their MAC as a permanent neighbour's. */
  readonly silent?: Silent
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
  /** Those that its VMI asks for, of DHCPv4. */
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

export interface LeaseFacts {
  readonly addressing: ObservedAddressing
  /** The pod link's. */
  readonly mac: string
  /** What the VM is told. */
  readonly mtuBytes: number
  readonly wish: NicWish
}

export interface LeaseFinding {
  /** Undefined for a pod link without addresses. */
  readonly lease: Lease | undefined
  /** Addresses of the pod link that no VM is told. */
  readonly others: readonly string[]
}

/** RT_TABLE_MAIN. */
const TABLE_MAIN = 254

/** What a pod link has, as its VM is to have it. The IPv6 router is found by others. */
export function toLease({ addressing, mac, mtuBytes, wish }: LeaseFacts): LeaseFinding {
  const { addresses } = addressing
  const routes = listMain(addressing)
  const [first4, ...more4] = addresses.filter((address) => getFamily(address) === 4)
  // What a router advertises the guest hears for itself, and asks that router for. The kernel lists the
  // newest first; a CNI plugin has set its first one first, which is the pod's own.
  const [first6, ...more6] = addresses
    .filter((address) => isRoutable6(address) && !addressing.learnt.includes(address))
    .toReversed()
  const others = [...more4, ...more6]
  if (first4 === undefined && first6 === undefined) return { lease: undefined, others }
  const ipv4 = first4 === undefined ? undefined : toOnLink(first4, routes)
  const ipv6 = first6 === undefined ? undefined : toOnLink(first6, routes)
  const { hostname } = wish
  return {
    others,
    lease: {
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

function listMain({ routes }: ObservedAddressing): readonly NicRoute[] {
  return routes.filter(({ table = TABLE_MAIN }) => table === TABLE_MAIN)
}

/**
 * What a VM in the place of the pod's stack is told: the link's MTU, or less where a default route says
 * so. Some CNI plugins (Cilium) leave the device its own and put their tunnel's on the routes.
 */
export function toToldMtu(linkMtuBytes: number, addressing: ObservedAddressing): number {
  const defaults = listMain(addressing).filter(({ dst }) => Object.values(DEFAULT).includes(dst))
  return Math.min(linkMtuBytes, ...defaults.flatMap(({ mtu }) => mtu ?? []))
}

/** In words, an address that a VM was told and its pod link, which has these, has no more. */
export function findLostAddress(lease: Lease, addresses: readonly string[]): string | undefined {
  const there = addresses.map(toAddress)
  const lost = [lease.ipv4, lease.ipv6]
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
export function getDefaultHop(lease: Lease, family: Family): string | undefined {
  return lease.routes.find(({ dst }) => dst === DEFAULT[family])?.gw
}

const DEFAULT: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' }

// A name that is no label is of no use to a guest.
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

/** Of one family, the best to each destination. */
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
  // Clients set them one by one: a next hop must be reached before it is named.
  return [...bare, ...told.filter(isOnLink), ...told.filter((route) => !isOnLink(route))]
}

function isOnLink({ gw }: NicRoute): boolean {
  return gw === undefined
}

// Every IPv6 interface has these by itself.
function isTold(dst: string): boolean {
  return !isLinkLocal6(dst) && !dst.startsWith('ff')
}
