// What a guest is told by cloud-init about the NICs that take a pod link's place: every address of the link,
// and the routes that lead out through it. Pure.
import { contains, getFamily, isLinkLocal6 } from '../ip.ts'
import { toOnLink } from '../on-link.ts'
import type { PodDns } from '../resolv-conf.ts'
import { NO_DNS } from '../resolv-conf.ts'
import type { PodNetwork, PodRoute } from './network-data-proc.ts'
import type { GuestVmiNic, OtherNic } from './network-data-vmi.ts'
import type { PodLinks } from './nic.ts'
import { getNicFacts, toMac } from './nic.ts'
import type { VmiNic } from './vmi.ts'

export interface GuestRoute {
  readonly to: string
  readonly via: string
  /** No address of the NIC has the next hop in its network: it is there all the same. */
  readonly isOnLink: boolean
  readonly metric: number | undefined
}

export interface GuestNic {
  /** The VMI's name for it. */
  readonly name: string
  readonly mac: string
  readonly mtuBytes: number | undefined
  readonly addresses: readonly string[]
  readonly routes: readonly GuestRoute[]
  readonly dns: PodDns
  /** Somebody else's NIC, whose addresses come by DHCP. */
  readonly isDhcp4: boolean
  /** Nothing in the guest should wait for it. */
  readonly isOptional: boolean
}

export interface GuestNetwork {
  readonly nics: readonly GuestNic[]
  /** NICs that cannot be told apart from others: the VMI gives them no MAC. */
  readonly unmatched: readonly string[]
  /** NICs whose link is a default route without next hop, of which their guests are told nothing. */
  readonly unrouted: readonly string[]
}

/** What IPv6 routes have where nobody gave them a metric (IP6_RT_PRIO_USER). */
const USUAL_METRIC6 = 1024

/**
 * A NIC of ours on a link without addresses is left out: a router's ports are its own affair. Throws
 * LinkMissingError, and DecodeError for a pod link without a usable MAC.
 */
export function toGuestNetwork(
  vmi: readonly GuestVmiNic[],
  links: PodLinks,
  pod: PodNetwork,
): GuestNetwork {
  const nics = vmi.flatMap((one) =>
    one.kind === 'own' ? toOwnNic(one.nic, links, pod) : toOtherNic(one),
  )
  const resolver = findResolver(vmi, nics)
  return {
    nics: nics.map((nic) => (nic.name === resolver ? { ...nic, dns: pod.dns } : nic)),
    unmatched: vmi.flatMap((one) =>
      one.kind === 'other' && one.mac === undefined ? one.name : [],
    ),
    unrouted: vmi.flatMap((one) =>
      one.kind === 'own' && isBareRoute(one.nic, links, pod) ? one.nic.name : [],
    ),
  }
}

function isBareRoute(nic: VmiNic, links: PodLinks, { addresses, routes }: PodNetwork): boolean {
  const { podLink } = getNicFacts(nic, links)
  return (
    addresses.some(({ link }) => link === podLink) &&
    routes.some(({ link, dst, gw }) => link === podLink && gw === undefined && dst.endsWith('/0'))
  )
}

function toOtherNic({ name, mac, isPrimary }: OtherNic): GuestNic[] {
  if (mac === undefined) return []
  const nothing = { mtuBytes: undefined, addresses: [], routes: [], dns: NO_DNS }
  return [{ name, mac, ...nothing, isDhcp4: true, isOptional: !isPrimary }]
}

function toOwnNic(nic: VmiNic, links: PodLinks, pod: PodNetwork): GuestNic[] {
  const facts = getNicFacts(nic, links)
  const routes = pod.routes.filter(({ link }) => link === facts.podLink)
  const addresses = pod.addresses
    .filter(({ link }) => link === facts.podLink)
    .map(({ address }) => toOnLink(address, routes))
  if (addresses.length === 0) return []
  return [
    {
      name: nic.name,
      mac: toMac(nic, facts),
      mtuBytes: facts.mtuBytes,
      addresses,
      routes: toGuestRoutes(routes, addresses),
      dns: NO_DNS,
      isDhcp4: false,
      isOptional: false,
    },
  ]
}

// A destination on the link is told only as the network of an address, or as a next hop: some of
// cloud-init's renderers fail on a route without one.
function toGuestRoutes(routes: readonly PodRoute[], addresses: readonly string[]): GuestRoute[] {
  return routes.flatMap(({ dst, gw, metric }) => {
    if (gw === undefined || !addresses.some((one) => getFamily(one) === getFamily(dst))) return []
    const isOnLink = !isLinkLocal6(gw) && !addresses.some((one) => contains(one, gw))
    const isUsual = metric === 0 || (getFamily(dst) === 6 && metric === USUAL_METRIC6)
    return [{ to: dst, via: gw, isOnLink, metric: isUsual ? undefined : metric }]
  })
}

/** The NIC that the pod's resolvers are reached through; none where another's DHCP server tells of them. */
function findResolver(vmi: readonly GuestVmiNic[], nics: readonly GuestNic[]): string | undefined {
  if (vmi.some((one) => one.kind === 'other' && one.isPrimary)) return undefined
  const primary = vmi.find((one) => one.kind === 'own' && one.nic.isPrimary)
  if (primary?.kind === 'own') return primary.nic.name
  return nics.find(({ routes }) => routes.some(({ to }) => to.endsWith('/0')))?.name
}
