// Parses dnsmasq's standard error, a line at a time.

export type DnsmasqWord =
  /** It is serving now. */
  | 'started'
  /** A DHCPv6 client has the address. */
  | 'given'
  /** A DHCPv6 client was refused. */
  | 'refused'
  /** A client declined the address, of either family. dnsmasq withholds it for ten minutes. */
  | 'declined'

/** Undefined for any other line. */
export function parseDnsmasqLine(line: string): DnsmasqWord | undefined {
  if (/^dnsmasq\[\d+\]: started, version /.test(line)) return 'started'
  if (/^dnsmasq-dhcp\[\d+\]: disabling DHCP static address \S+ for /.test(line)) return 'declined'
  // The address belongs to another pod.
  if (line.endsWith(' address invalid')) return undefined
  // An address, then the client's DUID. A refusal begins with the DUID.
  if (/^dnsmasq-dhcp\[\d+\]: (\d+ )?DHCPREPLY\(\S+\) [0-9a-f:]+ ([0-9a-f]{2}:)+/.test(line))
    return 'given'
  if (/^dnsmasq-dhcp\[\d+\]: (\d+ )?DHCP\w+\(\S+\) \S+ no address(es)? available$/.test(line))
    return 'refused'
  return undefined
}
