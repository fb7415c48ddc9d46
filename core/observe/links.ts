// Network devices of one namespace as they are: from `ip -j -d link`, or from /sys.
import { each, number, object, text } from '../shape.ts'
import { parseToolList, type Skip } from './tool-json.ts'

export interface Vxlan {
  readonly vni: number
  readonly local: string
  readonly remote: string
  readonly port: number
}

/** As documents have it. Throws DecodeError. */
export const decodeVxlan = object<Vxlan>({
  ...each(number, 'vni', 'port'),
  ...each(text, 'local', 'remote'),
})

export interface ObservedLink {
  readonly name: string
  readonly ifindex: number
  readonly mac: string
  readonly mtuBytes: number
  /** IFF_UP: what its owner wants. */
  readonly isUp: boolean
  /** Of a veth: both its ends are up. */
  readonly hasCarrier: boolean
  /** As ip-link(8) spells them: NOARP, MULTICAST, ALLMULTI, PROMISC. */
  readonly flags: ReadonlySet<string>
  readonly alias: string
  /** "veth", "vxlan"; empty for none, and where nobody looked. */
  readonly kind: string
  /** A tap made for several queues. */
  readonly isMultiQueue: boolean
  readonly qdisc: string | undefined
  /** Of IPv6 link-local addresses, "none" for none; undefined where the device has no IPv6. */
  readonly genMode: string | undefined
  /** Null of what is no tunnel; undefined where nobody looked. */
  readonly vxlan: Vxlan | null | undefined
  /**
   * Of a veth: its other end. Events of its namespace have this nsid; it is undefined where the namespace is the
   * reader's own, or is going away.
   */
  readonly peer?: { readonly ifindex: number; readonly nsid: number | undefined }
}

/** By device name; what is not in it does not exist. */
export type ObservedLinks = ReadonlyMap<string, ObservedLink>

/** Whether it shares a device with others like it: it hears what it asked for alone. */
export function sharesDevice({ kind }: ObservedLink): boolean {
  return kind === 'macvlan' || kind === 'ipvlan'
}

/** The keys we read of ip-link(8)'s JSON. */
interface IpLink {
  readonly ifname?: string
  readonly ifindex?: number
  readonly address?: string
  readonly mtu?: number
  readonly flags?: readonly string[]
  readonly qdisc?: string
  readonly ifalias?: string
  readonly inet6_addr_gen_mode?: string
  /** With -d alone. */
  readonly linkinfo?: IpLinkInfo
  /** The peer's name where it is in this namespace, */
  readonly link?: string
  /** its index where it is in another one, */
  readonly link_index?: number
  /** which has this number; -1 when it has none. */
  readonly link_netnsid?: number
}

/** What kind of device it is. */
export interface IpLinkInfo {
  readonly info_kind?: string
  readonly info_data?: IpLinkData
}

interface IpLinkData {
  readonly multi_queue?: boolean
  readonly id?: number
  readonly local?: string
  readonly local6?: string
  readonly remote?: string
  readonly remote6?: string
  readonly port?: number
}

/** The output of `ip -j -d link show`: a list of links, or nothing at all. Throws DecodeError. */
export function parseLinks(json: string, skip?: Skip): ObservedLinks {
  const links = parseToolList(json, 'ip -j link', skip) as readonly IpLink[]
  const indexOf = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]))
  return new Map(
    links.flatMap((link) =>
      link.ifname === undefined ? [] : [[link.ifname, toLink(link, indexOf)] as const],
    ),
  )
}

function toLink(
  link: IpLink,
  indexOf: ReadonlyMap<string | undefined, number | undefined>,
): ObservedLink {
  const { flags = [], linkinfo = {}, link_netnsid: nsid } = link
  const peerIndex = link.link_index ?? (link.link === undefined ? 0 : indexOf.get(link.link))
  return {
    name: link.ifname ?? '',
    ifindex: link.ifindex ?? 0,
    mac: link.address ?? '',
    mtuBytes: link.mtu ?? 0,
    isUp: flags.includes('UP'),
    hasCarrier: flags.includes('LOWER_UP'),
    flags: new Set(flags),
    alias: link.ifalias ?? '',
    kind: linkinfo.info_kind ?? '',
    isMultiQueue: linkinfo.info_data?.multi_queue ?? false,
    qdisc: link.qdisc,
    genMode: link.inet6_addr_gen_mode,
    vxlan: toVxlan(linkinfo),
    ...(linkinfo.info_kind !== 'veth' || peerIndex === undefined || peerIndex === 0
      ? {}
      : { peer: { ifindex: peerIndex, nsid: nsid === -1 ? undefined : nsid } }),
  }
}

/** Null of what is no tunnel. */
export function toVxlan({ info_kind: kind, info_data: data }: IpLinkInfo): Vxlan | null {
  if (kind !== 'vxlan' || data === undefined) return null
  const { id, local, local6, remote, remote6, port } = data
  return {
    vni: id ?? 0,
    local: local ?? local6 ?? '',
    remote: remote ?? remote6 ?? '',
    port: port ?? 0,
  }
}
