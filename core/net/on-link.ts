// How much of its network an interface reaches without a next hop.
import { getBits, parseCidr, renderCidr, toNetwork } from './ip.ts'

interface Route {
  readonly dst: string
  readonly gw?: string | undefined
}

// An address with the length of its network, or with its full length if none of these routes says that the
// network is on the link. The ptp plugin, for example, gives an address with a network's length and a route to
// that network through the gateway. Neighbour requests on such a link get no answer.
export function toOnLink(address: string, routes: readonly Route[]): string {
  const cidr = parseCidr(address)
  if (cidr === undefined) return address
  const network = renderCidr(toNetwork(cidr))
  if (routes.some(({ dst, gw }) => dst === network && gw === undefined)) return address
  return renderCidr({ ...cidr, prefix: getBits(cidr.address) })
}
