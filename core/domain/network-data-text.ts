// Network data as cloud-init reads it: version 2 on a NoCloud disk, OpenStack's on a ConfigDrive. Pure.
import { getFamily, parseCidr, toNetwork } from '../ip.ts'
import type { GuestNic, GuestRoute } from './network-data.ts'

/**
 * Version 2, as JSON, which is YAML.
 * https://cloudinit.readthedocs.io/en/latest/reference/network-config-format-v2.html
 */
export function renderVersion2(nics: readonly GuestNic[]): string {
  return render({ version: 2, ethernets: Object.fromEntries(nics.map(toEthernet)) })
}

function toEthernet(nic: GuestNic): [string, object] {
  const { name, mac, mtuBytes, addresses, routes, dns, isDhcp4, isOptional } = nic
  const nameservers = {
    ...(dns.nameservers.length > 0 ? { addresses: dns.nameservers } : {}),
    ...(dns.searches.length > 0 ? { search: dns.searches } : {}),
  }
  const ethernet = {
    match: { macaddress: mac },
    ...(mtuBytes === undefined ? {} : { mtu: mtuBytes }),
    ...(isDhcp4 ? { dhcp4: true } : {}),
    ...(isOptional ? { optional: true } : {}),
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(routes.length > 0 ? { routes: routes.map(toRoute2) } : {}),
    ...(Object.keys(nameservers).length > 0 ? { nameservers } : {}),
  }
  return [name, ethernet]
}

function toRoute2({ to, via, isOnLink, metric }: GuestRoute): object {
  return {
    to,
    via,
    ...(isOnLink ? { 'on-link': true } : {}),
    ...(metric === undefined ? {} : { metric }),
  }
}

/**
 * OpenStack's network_data.json, in which no route has a metric or is on the link.
 * https://docs.openstack.org/nova/latest/_downloads/9119ca7ac90aa2990e762c08baea3a36/network_data.json
 */
export function renderOpenStack(nics: readonly GuestNic[]): string {
  return render({
    links: nics.map(({ name, mac, mtuBytes }) => ({
      id: name,
      type: 'phy',
      ethernet_mac_address: mac,
      ...(mtuBytes === undefined ? {} : { mtu: mtuBytes }),
    })),
    networks: nics.flatMap(toNetworks),
    services: nics.flatMap(({ dns }) =>
      dns.nameservers.map((address) => ({ type: 'dns', address })),
    ),
  })
}

function toNetworks({ name, addresses, routes, dns, isDhcp4 }: GuestNic): object[] {
  if (isDhcp4) return [{ id: `${name}-0`, link: name, type: 'ipv4_dhcp' }]
  const firsts = [4, 6].map((family) => addresses.find((one) => getFamily(one) === family))
  return addresses.map((address, index) => {
    const family = getFamily(address)
    const isFirst = firsts.includes(address)
    return {
      id: `${name}-${index}`,
      link: name,
      type: family === 4 ? 'ipv4' : 'ipv6',
      ...toNetmask(address, 'ip_address'),
      // A route stands below one address of its family, for the whole NIC.
      routes: isFirst ? routes.filter(({ to }) => getFamily(to) === family).map(toRoute) : [],
      // cloud-init's own: OpenStack has no word for it.
      ...(index === 0 && dns.searches.length > 0 ? { dns_search: dns.searches } : {}),
    }
  })
}

function toRoute({ to, via }: GuestRoute): object {
  return { ...toNetmask(to, 'network'), gateway: via }
}

/** "10.0.0.0/8" as two texts, the second "255.0.0.0". */
function toNetmask(cidr: string, key: 'ip_address' | 'network'): object {
  const { address, prefix } = parseCidr(cidr) ?? { address: cidr, prefix: 0 }
  const ones =
    getFamily(address) === 4 ? '255.255.255.255' : 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
  return { [key]: address, netmask: toNetwork({ address: ones, prefix }).address }
}

function render(document: object): string {
  return `${JSON.stringify(document, undefined, 2)}\n`
}
