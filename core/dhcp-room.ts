// How much of a lease there is room for: an option of DHCPv4 ends at 255 bytes, and a line of dnsmasq's
// configuration at 1,024 characters; it does not start with more. Pure.
import type { NicRoute } from './addressing.ts'
import { isSayable, VALUE_MAX } from './dhcp-options.ts'
import { getFamily, parseCidr, type Family } from './ip.ts'
import { getDefaultHop, type Lease } from './lease.ts'

/** What is told in lists, each entry as dnsmasq's configuration has it. */
export interface ToldLists {
  /** Of IPv4 alone: neither DHCPv6 nor advertisements have words for them. */
  readonly routes: readonly string[]
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
}

/** RFC 2132: one byte says how long an option is. */
const OPTION_MAX = 255

interface Entry {
  readonly text: string
  /** In an option of DHCPv4. */
  readonly bytes: number
}

/** The first entries of each list, as many as there is room for; of routes the default one before all. */
export function fitLists(lease: Lease, family: Family): ToldLists {
  const all = listEntries(lease, family)
  const toTexts = (entries: readonly Entry[]): readonly string[] =>
    fit(entries, family).map(({ text }) => text)
  return {
    routes: toTexts(all.routes),
    nameservers: toTexts(all.nameservers),
    searches: toTexts(all.searches),
  }
}

/** What is left out, in words. */
export function listUntold(lease: Lease): readonly string[] {
  const families: readonly Family[] = [
    ...(lease.ipv4 === undefined ? [] : [4 as const]),
    ...(lease.ipv6 === undefined ? [] : [6 as const]),
  ]
  const cut = families.flatMap((family) => {
    const { routes, nameservers, searches } = listEntries(lease, family)
    return [routes, nameservers, searches].flatMap((entries) =>
      entries.slice(fit(entries, family).length).map(({ text }) => `${text} (IPv${family})`),
    )
  })
  const unsaid = (lease.dhcpOptions ?? []).filter(
    (option) => lease.ipv4 === undefined || !isSayable(option),
  )
  return [...cut, ...unsaid.map(({ code }) => `option ${code} (IPv4)`)]
}

function listEntries(lease: Lease, family: Family): Record<keyof ToldLists, readonly Entry[]> {
  const servers = lease.nameservers.filter((address) => getFamily(address) === family)
  return {
    routes: family === 4 ? sortRoutes(lease).map(toRouteEntry) : [],
    nameservers: servers.map((address) => ({
      text: family === 4 ? address : `[${address}]`,
      bytes: 4,
    })),
    // A byte before each label, and one behind the last.
    searches: lease.searches.map((text) => ({ text, bytes: text.length + 2 })),
  }
}

// The rest in its order: a next hop must be reached before it is named.
function sortRoutes(lease: Lease): readonly NicRoute[] {
  const hop = getDefaultHop(lease, 4)
  const routes = lease.routes.filter(({ dst }) => getFamily(dst) === 4)
  const isFirst = ({ dst }: NicRoute): boolean => dst === `${hop}/32` || dst === '0.0.0.0/0'
  return [...routes.filter(isFirst), ...routes.filter((route) => !isFirst(route))]
}

// RFC 3442: the prefix's length, the bytes of the network that it covers, the next hop.
function toRouteEntry({ dst, gw }: NicRoute): Entry {
  const { prefix } = parseCidr(dst) ?? { prefix: 32 }
  return { text: `${dst},${gw ?? '0.0.0.0'}`, bytes: 1 + Math.ceil(prefix / 8) + 4 }
}

function fit(entries: readonly Entry[], family: Family): readonly Entry[] {
  let [bytes, chars] = [0, 0]
  const end = entries.findIndex((entry) => {
    bytes += entry.bytes
    chars += entry.text.length + 1
    return (family === 4 && bytes > OPTION_MAX) || chars > VALUE_MAX
  })
  return end < 0 ? entries : entries.slice(0, end)
}
