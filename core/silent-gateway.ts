// Gateways that nobody on a pod's link answers for (AWS VPC CNI): the pod itself knows their MAC by a permanent
// neighbour, a VM has to ask. Pure.
import { getFamily } from './ip.ts'
import type { Lease, Silent } from './lease.ts'

export interface SilentFinding {
  readonly silent: Silent | undefined
  /** Those that the VM will not be told the MAC of. */
  readonly left: readonly string[]
}

/** Each takes a place among the picks of the VM's device. */
const MOST = 4

/** Of the next hops, those that are among the permanent neighbours, which are MACs by address. */
export function findSilent(
  { ipv4, routes, router }: Lease,
  permanent: ReadonlyMap<string, string>,
): SilentFinding {
  const hops = ipv4 === undefined ? [] : routes.flatMap(({ gw }) => gw ?? [])
  const asked = [
    // Of IPv6 the router alone is told, whose link-local address the server has.
    ...(router === undefined ? [] : [router.linkLocal]),
    ...new Set(hops.filter((hop) => getFamily(hop) === 4)),
  ].filter((address) => permanent.has(address))
  // The server answers for all of them with the one MAC that it has.
  const mac = router?.mac ?? permanent.get(asked[0] ?? '')
  const addresses = asked.filter((address) => permanent.get(address) === mac).slice(0, MOST)
  return {
    silent: mac === undefined || addresses.length === 0 ? undefined : { addresses, mac },
    left: asked.filter((address) => !addresses.includes(address)),
  }
}
