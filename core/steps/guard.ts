// The nftables table that says whom the tunnels' port lets in, as lines of nft.
import type { GuardPortStep } from './step.ts'

/** Everything of ours in nftables; removing it removes all. */
export const TABLE = 'inet l2wire'

export function getPeerSet(address: string): string {
  return address.includes(':') ? 'peers6' : 'peers4'
}

// nftables 1.0.6 knows no "vxlan vni": it is the 24 bits at 96 of the transport header. In an input
// hook, where fragments are whole again; the flush and the new rules are one transaction.
// A pod can write a node's address into a datagram of its own: what did not come by the interface that leads
// back to its sender is dropped first. Of a route of several hops IPv4 takes any; IPv6 looks up one (nft_fib6_eval),
// and what comes by another is the far node's own: an interface of such a route is passed over, no pod's is one.
// A pod need not even forge: a CNI plugin that masquerades gives its datagrams the node's own address, with which
// they would pass at the far node. So what is forwarded, and is for a peer with its VNI, is dropped here; tunnels' own
// datagrams are not forwarded, and those of clusters within this one have other addresses.
export function renderGuard({ port, checksPath, hops }: GuardPortStep): readonly string[] {
  const accept = (family: string, set: string): string =>
    `add rule ${TABLE} input udp dport ${port} ${family} saddr . @th,96,24 @${set} accept`
  const check = (words: string): string =>
    `add rule ${TABLE} input udp dport ${port} ${words} fib saddr . iif oif missing counter drop`
  return [
    `add table ${TABLE}`,
    `add set ${TABLE} peers4 { typeof ip saddr . @th,96,24; }`,
    `add set ${TABLE} peers6 { typeof ip6 saddr . @th,96,24; }`,
    `add set ${TABLE} hops6 { type ifname; }`,
    `flush set ${TABLE} hops6`,
    ...hops.map((dev) => `add element ${TABLE} hops6 { "${dev}" }`),
    `add chain ${TABLE} input { type filter hook input priority filter; policy accept; }`,
    `flush chain ${TABLE} input`,
    ...(checksPath
      ? [check('meta nfproto ipv4'), check('meta nfproto ipv6 iifname != @hops6')]
      : []),
    accept('ip', 'peers4'),
    accept('ip6', 'peers6'),
    `add rule ${TABLE} input udp dport ${port} counter drop`,
    `add chain ${TABLE} forward { type filter hook forward priority filter; policy accept; }`,
    `flush chain ${TABLE} forward`,
    ...(['ip', 'ip6'] as const).map(
      (family) =>
        `add rule ${TABLE} forward udp dport ${port} ${family} daddr . @th,96,24 @${family === 'ip' ? 'peers4' : 'peers6'} counter drop`,
    ),
  ]
}
