// How much of a VM's network fits: a DHCPv4 option ends at 255 bytes, and a line of dnsmasq's configuration at 1,024
// characters; dnsmasq does not start with a longer one. Pure.
import type { NicRoute } from '../net/route.ts'
import { isSayable, VALUE_MAX } from './vmi-dhcp-options.ts'
import { getFamily, parseCidr, type Family } from '../net/ip.ts'
import { getDefaultHop, type VmNetwork } from './vm-network.ts'

/** The lists of a lease, each entry as dnsmasq's configuration has it. */
export interface ToldLists {
  /** Of IPv4 alone: neither DHCPv6 nor advertisements can express routes. */
  readonly routes: readonly string[]
  readonly nameservers: readonly string[]
  readonly searches: readonly string[]
}

/** RFC 2132: one byte holds an option's length. */
const OPTION_MAX = 255

interface Entry {
  readonly text: string
  /** Bytes in a DHCPv4 option. */
  readonly bytes: number
}

/** The first entries of each list, as many as fit. Of routes the default one comes first. */
export function fitLists(vmNetwork: VmNetwork, family: Family): ToldLists {
  const all = listEntries(vmNetwork, family)
  const toTexts = (entries: readonly Entry[]): readonly string[] =>
    fit(entries, family).map(({ text }) => text)
  return {
    routes: toTexts(all.routes),
    nameservers: toTexts(all.nameservers),
    searches: toTexts(all.searches),
  }
}

/** The entries that are left out, as text. */
export function listUntold(vmNetwork: VmNetwork): readonly string[] {
  const families: readonly Family[] = [
    ...(vmNetwork.ipv4 === undefined ? [] : [4 as const]),
    ...(vmNetwork.ipv6 === undefined ? [] : [6 as const]),
  ]
  const cut = families.flatMap((family) => {
    const { routes, nameservers, searches } = listEntries(vmNetwork, family)
    return [routes, nameservers, searches].flatMap((entries) =>
      entries.slice(fit(entries, family).length).map(({ text }) => `${text} (IPv${family})`),
    )
  })
  const unsaid = (vmNetwork.dhcpOptions ?? []).filter(
    (option) => vmNetwork.ipv4 === undefined || !isSayable(option),
  )
  return [...cut, ...unsaid.map(({ code }) => `option ${code} (IPv4)`)]
}

function listEntries(
  vmNetwork: VmNetwork,
  family: Family,
): Record<keyof ToldLists, readonly Entry[]> {
  const servers = vmNetwork.nameservers.filter((address) => getFamily(address) === family)
  return {
    routes: family === 4 ? sortRoutes(vmNetwork).map(toRouteEntry) : [],
    nameservers: servers.map((address) => ({
      text: family === 4 ? address : `[${address}]`,
      bytes: 4,
    })),
    // One byte before each label, and one at the end.
    searches: vmNetwork.searches.map((text) => ({ text, bytes: text.length + 2 })),
  }
}

// The others keep their order, because a next hop must be reachable before a route names it.
function sortRoutes(vmNetwork: VmNetwork): readonly NicRoute[] {
  const hop = getDefaultHop(vmNetwork, 4)
  const routes = vmNetwork.routes.filter(({ dst }) => getFamily(dst) === 4)
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
