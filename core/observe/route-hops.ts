// Routes of several hops, as `ip -6 -o route` and `ip -6 -o monitor route` print them: a line each.

// A name that nft would not take as it stands is none of an underlay's.
const HOP = /\bnexthop\b[^\\]*? dev ([^\s"*\\]+)(?!\S)/g

/** The interfaces that lead to one of several hops of a route. */
export function parseHops(lines: string): ReadonlySet<string> {
  return new Set(
    lines.split('\n').flatMap((line) => {
      const hops = [...line.matchAll(HOP)].map(([, dev = '']) => dev)
      return hops.length > 1 ? hops : []
    }),
  )
}
