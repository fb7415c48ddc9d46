// A lease in the words of dnsmasq's configuration. One VM, one server: nothing is given to anybody else,
// and no lease ends, so that an agent that is away costs no VM its address; of DHCPv6 unless the client
// asks for less, as dhclient does.
import { renderDhcpOptions } from './dhcp-options.ts'
import { fitLists } from './dhcp-room.ts'
import { parseCidr, toNetwork, type Cidr } from './ip.ts'
import { getDefaultHop, type Lease } from './lease.ts'
import { isPrefixOnLink, RA_PREFIX } from './plan-lease.ts'

/** Seconds between router advertisements that nobody asked for, and how long the router is good for: the most there is (RFC 4861). */
const RA_EVERY = 60
const ROUTER_LIFETIME = 9000

/** What dnsmasq takes for something else than a name where it reads of a host. */
const KEYWORD = /^(ignore|infinite|deprecated|\d+[smhdw]?)$/i

/** dnsmasq closes what it inherits but for these, and opens it again by its path. */
const STANDARD_OUTPUT = '/proc/self/fd/1'

/**
 * Whether a server must remember what it gave: one that does not know a DHCPv6 lease renews none. Of
 * DHCPv4 it takes the client's word.
 */
export function needsMemory({ ipv6 }: Lease): boolean {
  return ipv6 !== undefined
}

/** Lines of a configuration file; with memory it keeps leases in its standard output. */
export function renderDnsmasq(server: string, lease: Lease, hasMemory: boolean): readonly string[] {
  const { mac, hostname, ipv4, ipv6 } = lease
  const addresses = [
    ...(ipv4 === undefined ? [] : [toAddress(ipv4)]),
    ...(ipv6 === undefined ? [] : [`[${toAddress(ipv6)}]`]),
  ]
  const isName = hostname !== undefined && !KEYWORD.test(hostname)
  const host = [mac, ...addresses, ...(isName ? [hostname] : []), 'infinite']
  return [
    'port=0',
    `interface=${server}`,
    'bind-interfaces',
    'no-hosts',
    'no-resolv',
    hasMemory ? `dhcp-leasefile=${STANDARD_OUTPUT}` : 'leasefile-ro',
    'dhcp-authoritative',
    'no-ping',
    // A boot loader and the system it loads call themselves by different names.
    'dhcp-ignore-clid',
    // What it says of DHCPv6 is read, see core/dnsmasq-said.ts.
    'quiet-dhcp',
    'quiet-ra',
    `dhcp-host=${host.join(',')}`,
    ...(ipv4 === undefined ? [] : renderIpv4(server, ipv4, lease)),
    ...(ipv6 === undefined ? [] : renderIpv6(server, ipv6, lease)),
  ]
}

function renderIpv4(server: string, ipv4: string, lease: Lease): readonly string[] {
  const cidr = parseCidr(ipv4) ?? { address: toAddress(ipv4), prefix: 32 }
  const network = toNetwork(cidr).address
  const { routes, nameservers, searches } = fitLists(lease, 4)
  const router = getDefaultHop(lease, 4)
  const { hostname, dhcpOptions = [] } = lease
  return [
    `dhcp-range=${network},static,${toMask(cidr)},infinite`,
    // The server has no address in that network.
    `shared-network=${server},${network}`,
    // For a network of one or two addresses dnsmasq would name one of them.
    ...(cidr.prefix < 31 ? [] : ['dhcp-option=28']),
    // What stands last is put into an answer first, which may be too short for all: without routes nothing
    // is reached, what is short finds room anywhere. 249 is Microsoft's number for 121.
    ...renderOption('249', routes),
    ...renderOption('option:domain-search', searches),
    // For clients that know no list.
    ...renderOption('option:domain-name', searches.slice(0, 1)),
    ...renderDhcpOptions(dhcpOptions),
    // By its number it may be any name, also one that is a word of dnsmasq's.
    ...renderOption('12', hostname === undefined ? [] : [hostname]),
    ...renderOption('option:dns-server', nameservers),
    `dhcp-option=option:mtu,${lease.mtuBytes}`,
    // Without a value it is not sent: else dnsmasq names itself.
    `dhcp-option=option:router${router === undefined ? '' : `,${router}`}`,
    ...renderOption('121', routes),
  ]
}

function renderIpv6(server: string, ipv6: string, lease: Lease): readonly string[] {
  const { address } = toNetwork({ address: toAddress(ipv6), prefix: RA_PREFIX })
  const onLink = isPrefixOnLink(ipv6) ? '' : 'off-link,'
  const { nameservers, searches } = fitLists(lease, 6)
  const lifetime = lease.router === undefined ? 0 : ROUTER_LIFETIME
  return [
    `dhcp-range=${address},static,${onLink}${RA_PREFIX},infinite`,
    // The same after a restart and on another node, and nobody's MAC.
    'dhcp-duid=0,6c:32:77:69:72:65',
    'enable-ra',
    `ra-param=${server},mtu:${lease.mtuBytes},${RA_EVERY},${lifetime}`,
    ...renderOption('option6:dns-server', nameservers),
    ...renderOption('option6:domain-search', searches),
  ]
}

function renderOption(option: string, values: readonly string[]): readonly string[] {
  return values.length === 0 ? [] : [`dhcp-option=${option},${values.join(',')}`]
}

function toAddress(cidr: string): string {
  return cidr.split('/')[0] ?? cidr
}

function toMask({ prefix }: Cidr): string {
  return toNetwork({ address: '255.255.255.255', prefix }).address
}
