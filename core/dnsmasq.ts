// A lease in the words of dnsmasq's configuration. One VM, one server: nothing is given to anybody else,
// and no lease ends, so that an agent that is away costs no VM its address.
import { getFamily, parseCidr, toNetwork, type Cidr } from './ip.ts'
import { getDefaultHop, type Lease } from './lease.ts'
import { isPrefixOnLink, RA_PREFIX } from './plan-lease.ts'

/** Seconds between router advertisements that nobody asked for, and how long the router is good for: the most there is (RFC 4861). */
const RA_EVERY = 60
const ROUTER_LIFETIME = 9000

/** Lines of a configuration file. */
export function renderDnsmasq(server: string, lease: Lease): readonly string[] {
  const { mac, hostname, ipv4, ipv6 } = lease
  const addresses = [
    ...(ipv4 === undefined ? [] : [toAddress(ipv4)]),
    ...(ipv6 === undefined ? [] : [`[${toAddress(ipv6)}]`]),
  ]
  const host = [mac, ...addresses, ...(hostname === undefined ? [] : [hostname]), 'infinite']
  return [
    'port=0',
    `interface=${server}`,
    'bind-interfaces',
    'no-hosts',
    'no-resolv',
    'leasefile-ro',
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
  const routes = lease.routes
    .filter(({ dst }) => getFamily(dst) === 4)
    .map(({ dst, gw }) => `${dst},${gw ?? '0.0.0.0'}`)
  const router = getDefaultHop(lease, 4)
  return [
    `dhcp-range=${network},static,${toMask(cidr)},infinite`,
    // The server has no address in that network.
    `shared-network=${server},${network}`,
    // Without a value it is not sent: else dnsmasq names itself.
    `dhcp-option=option:router${router === undefined ? '' : `,${router}`}`,
    `dhcp-option=option:mtu,${lease.mtuBytes}`,
    // Microsoft's number for the same.
    ...(routes.length === 0
      ? []
      : [121, 249].map((option) => `dhcp-option=${option},${routes.join(',')}`)),
    ...renderDns(lease, 4),
  ]
}

function renderIpv6(server: string, ipv6: string, lease: Lease): readonly string[] {
  const { address } = toNetwork({ address: toAddress(ipv6), prefix: RA_PREFIX })
  const onLink = isPrefixOnLink(ipv6) ? '' : 'off-link,'
  const lifetime = lease.router === undefined ? 0 : ROUTER_LIFETIME
  return [
    `dhcp-range=${address},static,${onLink}${RA_PREFIX},infinite`,
    // The same after a restart and on another node, and nobody's MAC.
    'dhcp-duid=0,6c:32:77:69:72:65',
    'enable-ra',
    `ra-param=${server},mtu:${lease.mtuBytes},${RA_EVERY},${lifetime}`,
    ...renderDns(lease, 6),
  ]
}

function renderDns({ nameservers, searches }: Lease, family: 4 | 6): readonly string[] {
  const option = family === 4 ? 'option:' : 'option6:'
  const ofFamily = nameservers.filter((address) => getFamily(address) === family)
  const servers = ofFamily.map((address) => (family === 4 ? address : `[${address}]`))
  return [
    ...(servers.length === 0 ? [] : [`dhcp-option=${option}dns-server,${servers.join(',')}`]),
    ...(searches.length === 0
      ? []
      : [
          // For clients that know no list.
          ...(family === 4 ? [`dhcp-option=option:domain-name,${searches[0]}`] : []),
          `dhcp-option=${option}domain-search,${searches.join(',')}`,
        ]),
  ]
}

function toAddress(cidr: string): string {
  return cidr.split('/')[0] ?? cidr
}

function toMask({ prefix }: Cidr): string {
  return toNetwork({ address: '255.255.255.255', prefix }).address
}
