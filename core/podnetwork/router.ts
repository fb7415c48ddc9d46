// Finds a pod link's IPv6 gateway: the link-local address and the MAC from which advertisements must come, so
// that guests send to the real gateway. Pure.
import { fromEui64 } from '../net/eui64.ts'
import { isLinkLocal6 } from '../net/ip.ts'
import type { Router } from './vm-network.ts'
import { parseToolList } from '../observe/tool-json.ts'

/** A device of the node that may be a pod's gateway. */
export interface GatewayCandidate {
  readonly mac: string
  /** Without prefix lengths. */
  readonly addresses: readonly string[]
}

/** The keys of `ip -j address` that we read. */
interface IpLink {
  readonly ifindex?: number
  readonly ifname?: string
  readonly address?: string
  readonly link_index?: number
  readonly link_netnsid?: number
  readonly master?: string
  readonly addr_info?: readonly { readonly local?: string }[]
}

/**
 * The node's end of a pod's veth, and the bridge that it is a port of. podLink is the output of `ip -j link
 * show dev …` in the pod, node the output of `ip -j address show` on the node. Throws DecodeError.
 */
export function parseCandidates(podLink: string, node: string): readonly GatewayCandidate[] {
  const [inside] = parseToolList(podLink, 'ip -j link') as readonly IpLink[]
  const links = parseToolList(node, 'ip -j address') as readonly IpLink[]
  // The other end's index counts in its own namespace, which need not be the node's. In that case the end with
  // that index here is no veth whose peer has our index.
  const end = links.find(
    (link) =>
      inside?.link_index !== undefined &&
      link.link_netnsid !== undefined &&
      link.ifindex === inside.link_index &&
      link.link_index === inside.ifindex,
  )
  if (end === undefined) return []
  const master = links.find(({ ifname }) => ifname !== undefined && ifname === end.master)
  return [end, ...(master === undefined ? [] : [master])].map(({ address, addr_info: infos }) => ({
    mac: address ?? '',
    addresses: (infos ?? []).flatMap(({ local }) => local ?? []),
  }))
}

/** MACs by address, from `ip -6 -j neigh show dev …`. Throws DecodeError. */
export function parseNeighbours(json: string): ReadonlyMap<string, string> {
  const list = parseToolList(json, 'ip -j neigh') as readonly {
    readonly dst?: string
    readonly lladdr?: string
  }[]
  return new Map(
    list.flatMap(({ dst, lladdr }) =>
      dst === undefined || lladdr === undefined ? [] : [[dst, lladdr] as const],
    ),
  )
}

/** Undefined if we can find no address and MAC. */
export function findRouter(
  gateway: string,
  candidates: readonly GatewayCandidate[],
  neighbours: ReadonlyMap<string, string>,
): Router | undefined {
  const has = candidates.find(({ addresses }) => addresses.includes(gateway))
  if (isLinkLocal6(gateway)) {
    const mac = has?.mac ?? neighbours.get(gateway) ?? fromEui64(gateway)
    return mac === undefined ? undefined : { linkLocal: gateway, mac }
  }
  const linkLocal = has?.addresses.find(isLinkLocal6)
  return has === undefined || linkLocal === undefined ? undefined : { linkLocal, mac: has.mac }
}
