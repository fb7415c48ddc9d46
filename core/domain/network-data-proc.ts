// A pod's addresses and routes, out of what the kernel shows to any process in its network namespace: the
// sidecar may start no other program and open no netlink socket. Pure.
import { contains, isLinkLocal6, isLoopbackIp, normalizeIp } from '../ip.ts'
import type { PodDns } from '../resolv-conf.ts'
import { parseResolvConf } from '../resolv-conf.ts'

export interface PodAddress {
  readonly link: string
  /** "10.0.0.2/24". */
  readonly address: string
}

export interface PodRoute {
  readonly link: string
  /** "10.0.0.0/8". */
  readonly dst: string
  /** Undefined: the destination is on the link. */
  readonly gw: string | undefined
  readonly metric: number
}

export interface PodNetwork {
  /** None that is link-local, or that the pod found by itself: a guest finds those by itself, too. */
  readonly addresses: readonly PodAddress[]
  /** Of the main table. */
  readonly routes: readonly PodRoute[]
  readonly dns: PodDns
}

/** The texts, each empty where there is no such file. */
export interface PodNetworkFiles {
  /** IPv4 addresses of links with a carrier: libuv leaves out the others. */
  readonly upAddresses: readonly PodAddress[]
  /** /proc/net/fib_trie */
  readonly fibTrie: string
  /** /proc/net/route */
  readonly route: string
  /** /proc/net/if_inet6 */
  readonly ifInet6: string
  /** /proc/net/ipv6_route */
  readonly ipv6Route: string
  /** /etc/resolv.conf */
  readonly resolvConf: string
}

/** linux/if_addr.h: not from a router advertisement, and not temporary. */
const IFA_F_PERMANENT = 0x80
/** linux/route.h, linux/ipv6_route.h. */
const RTF_UP = 0x0001
const RTF_REJECT = 0x0200
const RTF_ADDRCONF = 0x0004_0000
const RTF_ANYCAST = 0x0010_0000
const RTF_CACHE = 0x0100_0000
const RTF_LOCAL = 0x8000_0000
const NOT_TOLD = RTF_REJECT | RTF_ADDRCONF | RTF_ANYCAST | RTF_CACHE | RTF_LOCAL

export function toPodNetwork(files: PodNetworkFiles): PodNetwork {
  const routes = [...parseRoutes4(files.route), ...parseRoutes6(files.ipv6Route)]
  return {
    addresses: [
      ...files.upAddresses,
      ...findQuietAddresses(files, routes),
      ...parseAddresses6(files.ifInet6),
    ],
    routes,
    dns: parseResolvConf(files.resolvConf),
  }
}

// The address of a link without a carrier (a wire whose far end is not there yet) is in the routing
// table, without its link: that is the one with a route to the address' network, and of which libuv says
// nothing.
function findQuietAddresses(
  { upAddresses, fibTrie }: PodNetworkFiles,
  routes: readonly PodRoute[],
): PodAddress[] {
  const known = new Set(upAddresses.map(({ address }) => address.split('/')[0]))
  const upLinks = new Set(upAddresses.map(({ link }) => link))
  const networks = routes.filter(
    ({ link, dst, gw }) => gw === undefined && getPrefix(dst) > 0 && !upLinks.has(link),
  )
  const locals = [...fibTrie.matchAll(/\|-- ([\d.]+)\n((?:\s+\/\d+ .*\n)+)/g)]
    .filter(([, , entries = '']) => entries.includes('/32 host LOCAL'))
    .map(([, ip = '']) => ip)
    .filter((ip) => !known.has(ip) && !isLoopbackIp(ip))
  return [...new Set(locals)].flatMap((ip) => {
    const [network] = networks
      .filter(({ dst }) => contains(dst, ip))
      .toSorted((one, other) => getPrefix(other.dst) - getPrefix(one.dst))
    if (network === undefined) return []
    return [{ link: network.link, address: `${ip}/${getPrefix(network.dst)}` }]
  })
}

function getPrefix(cidr: string): number {
  return Number(cidr.split('/')[1])
}

function parseRoutes4(text: string): PodRoute[] {
  return toRows(text)
    .slice(1)
    .flatMap(([link = '', dst = '', gateway = '', flags = '', , , metric = '', mask = '']) => {
      const told = Number.parseInt(flags, 16)
      if ((told & RTF_UP) === 0 || (told & RTF_REJECT) !== 0) return []
      const gw = toIp4(gateway)
      return {
        link,
        dst: `${toIp4(dst)}/${countBits(Number.parseInt(mask, 16))}`,
        gw: gw === '0.0.0.0' ? undefined : gw,
        metric: Number(metric),
      }
    })
}

function parseRoutes6(text: string): PodRoute[] {
  return toRows(text).flatMap((row) => {
    const [dst = '', prefix = '', , , gateway = '', metric = '', , , flags = '', link = ''] = row
    const told = Number.parseInt(flags, 16)
    const address = toIp6(dst)
    if ((told & RTF_UP) === 0 || (told & NOT_TOLD) !== 0 || isOfLink(address)) return []
    const gw = toIp6(gateway)
    return {
      link,
      dst: `${address}/${Number.parseInt(prefix, 16)}`,
      gw: gw === '::' ? undefined : gw,
      metric: Number.parseInt(metric, 16),
    }
  })
}

function parseAddresses6(text: string): PodAddress[] {
  return toRows(text).flatMap(([digits = '', , prefix = '', , flags = '', link = '']) => {
    const address = toIp6(digits)
    const isPermanent = (Number.parseInt(flags, 16) & IFA_F_PERMANENT) !== 0
    if (!isPermanent || isOfLink(address) || link === 'lo') return []
    return { link, address: `${address}/${Number.parseInt(prefix, 16)}` }
  })
}

function toRows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.trim().split(/\s+/))
}

// A number in the machine's byte order: x86-64 and arm64, which the image is made for, begin at the lowest.
function toIp4(digits: string): string {
  return (digits.match(/../g) ?? [])
    .map((byte) => Number.parseInt(byte, 16))
    .toReversed()
    .join('.')
}

function toIp6(digits: string): string {
  return normalizeIp((digits.match(/.{4}/g) ?? []).join(':')) ?? '::'
}

function countBits(mask: number): number {
  return mask.toString(2).split('1').length - 1
}

// Every IPv6 interface has these by itself.
function isOfLink(address: string): boolean {
  return isLinkLocal6(address) || address.startsWith('ff')
}
