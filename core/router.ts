// Who is a pod link's IPv6 gateway: the link-local address and the MAC that advertisements of it must
// come from, so that guests send to the real one. Pure.
import { DecodeError } from './errors.ts'
import { fromEui64 } from './eui64.ts'
import { isLinkLocal6 } from './ip.ts'
import type { Router } from './lease.ts'

/** A device of the node that a pod's gateway may be. */
export interface GatewayCandidate {
  readonly mac: string
  /** Without prefix lengths. */
  readonly addresses: readonly string[]
}

/** The keys we read of `ip -j address`. */
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
 * The node's end of a pod's veth, and the bridge that it is a port of. podLink is what `ip -j link show
 * dev …` says in the pod, node what `ip -j address show` says on the node. Throws DecodeError.
 */
export function parseCandidates(podLink: string, node: string): readonly GatewayCandidate[] {
  const [inside] = parseLinks(podLink, 'ip -j link')
  const links = parseLinks(node, 'ip -j address')
  // The number of the other end is its own namespace's, which need not be the node's: then that end is
  // not a veth whose other end has our number.
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
  const list = parseLinks(json, 'ip -j neigh') as readonly {
    readonly dst?: string
    readonly lladdr?: string
  }[]
  return new Map(
    list.flatMap(({ dst, lladdr }) =>
      dst === undefined || lladdr === undefined ? [] : [[dst, lladdr] as const],
    ),
  )
}

function parseLinks(json: string, path: string): readonly IpLink[] {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json)
  if (!Array.isArray(value)) throw new DecodeError(path, value, 'a list')
  return value as readonly IpLink[]
}

/** Undefined where nothing that we can see tells both. */
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
