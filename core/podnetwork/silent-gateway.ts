// Gateways that do not answer on a pod's link (AWS VPC CNI). The pod itself knows their MAC by a permanent
// neighbour, but a VM has to ask. Pure.
import { getFamily } from '../net/ip.ts'
import type { VmNetwork, Silent } from './vm-network.ts'

export interface SilentFinding {
  readonly silent: Silent | undefined
  /** Gateways whose MAC the VM will not learn. */
  readonly left: readonly string[]
}

/** Each takes a place among the filters that steer on the VM's device. */
const MOST = 4

/** The next hops that are permanent neighbours, which are MACs by address. */
export function findSilent(
  { ipv4, routes, router }: VmNetwork,
  permanent: ReadonlyMap<string, string>,
): SilentFinding {
  const hops = ipv4 === undefined ? [] : routes.flatMap(({ gw }) => gw ?? [])
  const asked = [
    // For IPv6 the VM knows only the router, whose link-local address the server has.
    ...(router === undefined ? [] : [router.linkLocal]),
    ...new Set(hops.filter((hop) => getFamily(hop) === 4)),
  ].filter((address) => permanent.has(address))
  // The server answers for all of them with its one MAC.
  const mac = router?.mac ?? permanent.get(asked[0] ?? '')
  const addresses = asked.filter((address) => permanent.get(address) === mac).slice(0, MOST)
  return {
    silent: mac === undefined || addresses.length === 0 ? undefined : { addresses, mac },
    left: asked.filter((address) => !addresses.includes(address)),
  }
}
