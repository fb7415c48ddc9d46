// The switches of the interface that a VM's DHCP server has, as keys of a net sysctl folder; in order.

/** Seconds; the kernel takes an int, and counts it in jiffies. */
const A_LONG_TIME = 1_000_000

export interface Sysctl {
  readonly key: string
  readonly value: number
}

/**
 * Whoever is known as a neighbour there stays known: nobody would answer when asked. With IPv6 on, it
 * hears router solicitations, and learns from them who sent them.
 */
export function listServerSysctls(dev: string, hasIpv6: boolean): readonly Sysctl[] {
  const families = hasIpv6 ? ['ipv4', 'ipv6'] : ['ipv4']
  const times = ['delay_first_probe_time', 'gc_stale_time']
  return [
    ...families.flatMap((family) =>
      times.map((time) => ({ key: `${family}/neigh/${dev}/${time}`, value: A_LONG_TIME })),
    ),
    // A VM that renews its lease has the address that the pod link has, too: a forgery, to a stack that is
    // not told otherwise. Loose filtering (2) prevails over the strict one (1) that all may have.
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
