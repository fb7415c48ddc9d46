// The sysctls of the interface of a VM's DHCP server, as keys below a net folder, in order.

/** Seconds. The kernel stores an int, and counts in jiffies. */
const A_LONG_TIME = 1_000_000

export interface Sysctl {
  readonly key: string
  readonly value: number
}

/**
 * A known neighbour must stay known, because nobody would answer a request. With IPv6 on, the interface hears
 * router solicitations and learns their senders.
 */
export function listServerSysctls(dev: string, hasIpv6: boolean): readonly Sysctl[] {
  const families = hasIpv6 ? ['ipv4', 'ipv6'] : ['ipv4']
  const times = ['delay_first_probe_time', 'gc_stale_time']
  return [
    ...families.flatMap((family) =>
      times.map((time) => ({ key: `${family}/neigh/${dev}/${time}`, value: A_LONG_TIME })),
    ),
    // A VM that renews its lease sends from an address that the pod link has, too. Without accept_local the
    // stack takes that for a forgery. Loose filtering (2) overrides the strict one (1) of "all".
    { key: `ipv4/conf/${dev}/accept_local`, value: 1 },
    { key: `ipv4/conf/${dev}/rp_filter`, value: 2 },
    ...(hasIpv6
      ? [
          { key: `ipv6/conf/${dev}/disable_ipv6`, value: 0 },
          { key: `ipv6/conf/${dev}/forwarding`, value: 1 },
        ]
      : []),
  ]
}
