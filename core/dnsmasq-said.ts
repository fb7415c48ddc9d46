// What dnsmasq says on its standard error, a line at a time.

export type DnsmasqWord =
  /** It serves from now on. */
  | 'started'
  /** A DHCPv6 client has the address. */
  | 'given'
  /** A DHCPv6 client was refused. */
  | 'refused'

/** Undefined for a line of no concern. */
export function parseDnsmasqLine(line: string): DnsmasqWord | undefined {
  if (/^dnsmasq\[\d+\]: started, version /.test(line)) return 'started'
  // An address, then the client's DUID, which is what a refusal begins with.
  if (/^dnsmasq-dhcp\[\d+\]: (\d+ )?DHCPREPLY\(\S+\) [0-9a-f:]+ ([0-9a-f]{2}:)+/.test(line))
    return 'given'
  if (/^dnsmasq-dhcp\[\d+\]: (\d+ )?DHCP\w+\(\S+\) \S+ no address(es)? available$/.test(line))
    return 'refused'
  return undefined
}
