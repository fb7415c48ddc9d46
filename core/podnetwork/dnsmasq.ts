// Renders a VM's network as dnsmasq's configuration. There is one VM per server, so nobody else gets anything. Leases
// have no end, so a VM keeps its address while the agent is away, unless a DHCPv6 client asks for less, as
// dhclient does.
import { renderDhcpOptions } from './vmi-dhcp-options.ts'
import { fitLists } from './dhcp-option-size.ts'
import { parseCidr, toNetwork, type Cidr } from '../net/ip.ts'
import { getDefaultHop, type VmNetwork } from './vm-network.ts'
import { isPrefixOnLink, RA_PREFIX } from './plan.ts'

/**
 * Seconds between unsolicited router advertisements, and the router lifetime, which is the longest that RFC 4861
 * allows.
 */
const RA_EVERY = 60
const ROUTER_LIFETIME = 9000

/** Words that dnsmasq does not read as a name in a host's line. */
const KEYWORD = /^(ignore|infinite|deprecated|\d+[smhdw]?)$/i

/** dnsmasq closes all inherited files but these, and opens this one again by its path. */
const STANDARD_OUTPUT = '/proc/self/fd/1'

/**
 * Whether a server must remember its leases. It renews no DHCPv6 lease that it does not know. For DHCPv4 it
 * believes the client.
 */
export function needsMemory({ ipv6 }: VmNetwork): boolean {
  return ipv6 !== undefined
}

/** Lines of a configuration file; with memory it keeps leases in its standard output. */
export function renderDnsmasq(
  server: string,
  vmNetwork: VmNetwork,
  hasMemory: boolean,
): readonly string[] {
  const { mac, hostname, ipv4, ipv6 } = vmNetwork
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
    // A boot loader and the system that it loads use different client IDs.
    'dhcp-ignore-clid',
    // We read its DHCPv6 lines: core/podnetwork/dnsmasq-log.ts.
    'quiet-dhcp',
    'quiet-ra',
    `dhcp-host=${host.join(',')}`,
    ...(ipv4 === undefined ? [] : renderIpv4(server, ipv4, vmNetwork)),
    ...(ipv6 === undefined ? [] : renderIpv6(server, ipv6, vmNetwork)),
  ]
}

function renderIpv4(server: string, ipv4: string, vmNetwork: VmNetwork): readonly string[] {
  const cidr = parseCidr(ipv4) ?? { address: toAddress(ipv4), prefix: 32 }
  const network = toNetwork(cidr).address
  const { routes, nameservers, searches } = fitLists(vmNetwork, 4)
  const router = getDefaultHop(vmNetwork, 4)
  const { hostname, dhcpOptions = [] } = vmNetwork
  return [
    `dhcp-range=${network},static,${toMask(cidr)},infinite`,
    // The server has no address in that network.
    `shared-network=${server},${network}`,
    // For a network of one or two addresses dnsmasq would send one of them as broadcast.
    ...(cidr.prefix < 31 ? [] : ['dhcp-option=28']),
    // dnsmasq puts the last option into an answer first, and an answer may be too short for all. Routes come
    // last, because without routes nothing is reachable; short options fit anywhere. 249 is Microsoft's number
    // for 121.
    ...renderOption('249', routes),
    ...renderOption('option:domain-search', searches),
    // For clients that know no list.
    ...renderOption('option:domain-name', searches.slice(0, 1)),
    ...renderDhcpOptions(dhcpOptions),
    // By its number the option may have any value, even a dnsmasq keyword.
    ...renderOption('12', hostname === undefined ? [] : [hostname]),
    ...renderOption('option:dns-server', nameservers),
    `dhcp-option=option:mtu,${vmNetwork.mtuBytes}`,
    // With an empty value it is not sent. Otherwise dnsmasq names itself.
    `dhcp-option=option:router${router === undefined ? '' : `,${router}`}`,
    ...renderOption('121', routes),
  ]
}

function renderIpv6(server: string, ipv6: string, vmNetwork: VmNetwork): readonly string[] {
  const own = toAddress(ipv6)
  const { address } = toNetwork({ address: own, prefix: RA_PREFIX })
  const onLink = isPrefixOnLink(ipv6) ? '' : 'off-link,'
  const { nameservers, searches } = fitLists(vmNetwork, 6)
  const lifetime = vmNetwork.router === undefined ? 0 : ROUTER_LIFETIME
  return [
    // The advertised prefix. No client has this tag, so dnsmasq gives no address of it; it would confirm all of
    // them. Of several ranges dnsmasq advertises the first.
    `dhcp-range=tag:none,${address},static,${onLink}${RA_PREFIX},infinite`,
    // The one address that it gives. Any other is another pod's, or an earlier pod's.
    `dhcp-range=${own},static,128,infinite`,
    // Stable across restarts and nodes, and not based on a MAC.
    'dhcp-duid=0,6c:32:77:69:72:65',
    'enable-ra',
    `ra-param=${server},mtu:${vmNetwork.mtuBytes},${RA_EVERY},${lifetime}`,
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
