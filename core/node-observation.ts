// Everything of ours that a node's kernel has in the agent's own namespace, from what iproute2 and nft
// print of all of it at once.
import { DecodeError } from './errors.ts'
import { parseList, toVxlan, type IpLinkInfo, type Vxlan } from './inspection.ts'
import { parseRedirects } from './pod-link.ts'

export interface NodeLink {
  readonly ifindex: number
  readonly isUp: boolean
  readonly hasCarrier: boolean
  readonly mtuBytes: number
  readonly alias: string
  readonly kind: 'host-end' | 'tunnel'
  /**
   * A host end's other end. Events of its namespace have this nsid; it is undefined where the
   * namespace is the agent's own, or is going away.
   */
  readonly peer?: { readonly ifindex: number; readonly nsid: number | undefined }
  /** Where what comes in is redirected to; "*" is a device that is gone. */
  readonly redirects: readonly string[]
  /** Of a tunnel only. */
  readonly vxlan: Vxlan | null
}

export interface NodeObservation {
  /** By device name. */
  readonly links: ReadonlyMap<string, NodeLink>
  /** Who may send to a tunnel, "192.0.2.2 4096": address and VNI. */
  readonly peers: ReadonlySet<string>
  /** Whether the table is there, and its rules are those that let in only the peers. */
  readonly hasTable: boolean
}

/** A link before its redirects are known. */
export type BareLink = Omit<NodeLink, 'redirects'>

/** The keys we read of `ip -j -d link`. */
interface IpLink {
  readonly ifindex?: number
  readonly ifname?: string
  readonly flags?: readonly string[]
  readonly mtu?: number
  readonly ifalias?: string
  readonly linkinfo?: IpLinkInfo
  /** The peer's name where it is in this namespace, */
  readonly link?: string
  /** its index where it is in another one, */
  readonly link_index?: number
  /** which has this number; -1 when it has none. */
  readonly link_netnsid?: number
}

const KINDS: Readonly<Record<string, NodeLink['kind'] | undefined>> = {
  'lw veth': 'host-end',
  'lx vxlan': 'tunnel',
}

// A name alone proves nothing: users have devices, too.
function getKind({ ifname = '', ifalias = '', linkinfo }: IpLink): NodeLink['kind'] | undefined {
  if (!/^l[wx][0-9a-f]{13}$/.test(ifname) || !ifalias.startsWith('l2wire ')) return undefined
  return KINDS[`${ifname.slice(0, 2)} ${linkinfo?.info_kind}`]
}

/** Our devices in the output of `ip -j -d link show`. Throws DecodeError. */
export function parseOurLinks(json: string): ReadonlyMap<string, BareLink> {
  const links = parseList(json, 'ip -j link') as readonly IpLink[]
  const indexOf = new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]))
  return new Map(
    links.flatMap((link) => {
      const kind = getKind(link)
      if (kind === undefined) return []
      const flags = link.flags ?? []
      const nsid = link.link_netnsid
      const peerIndex = link.link_index ?? (link.link === undefined ? 0 : indexOf.get(link.link))
      const bare: BareLink = {
        ifindex: link.ifindex ?? 0,
        isUp: flags.includes('UP'),
        hasCarrier: flags.includes('LOWER_UP'),
        mtuBytes: link.mtu ?? 0,
        alias: link.ifalias ?? '',
        kind,
        ...(kind === 'tunnel' || peerIndex === undefined || peerIndex === 0
          ? {}
          : { peer: { ifindex: peerIndex, nsid: nsid === -1 ? undefined : nsid } }),
        vxlan: toVxlan(link.linkinfo),
      }
      return [[link.ifname ?? '', bare] as const]
    }),
  )
}

/** Lines for `tc -batch`: the filters of each device. */
export function renderFilterQueries(devices: readonly string[]): string {
  return devices.map((dev) => `filter show dev ${dev} ingress\n`).join('')
}

/**
 * What `tc -j -batch` answers to those: a line of JSON each, in their order, which alone says of which
 * device a filter is. Throws DecodeError.
 */
export function parseFilterAnswers(
  output: string,
  devices: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const lines = output.split('\n').filter((line) => line !== '')
  if (lines.length !== devices.length)
    throw new DecodeError('tc -j -batch', lines.length, `an answer for each of ${devices.length}`)
  return new Map(devices.map((dev, at) => [dev, parseRedirects(lines[at] ?? '')]))
}

/** The devices that `tc` complains of as missing. */
export function findMissingDevices(stderr: string): readonly string[] {
  return [...stderr.matchAll(/^Cannot find device "([^"]+)"$/gm)].map(([, dev = '']) => dev)
}

/** The keys we read of `nft -j list table`. */
interface NftObject {
  readonly set?: { readonly name?: string; readonly elem?: readonly NftElement[] }
  readonly rule?: { readonly chain?: string; readonly expr?: readonly object[] }
}

interface NftElement {
  readonly concat?: readonly (string | number)[]
}

const VERDICTS = ['accept', 'drop'] as const

/** Our table, from the output of `nft -j list table inet l2wire`. Throws DecodeError. */
export function parseTable(json: string): Pick<NodeObservation, 'peers' | 'hasTable'> {
  const { nftables } = JSON.parse(json) as { readonly nftables?: readonly NftObject[] }
  if (!Array.isArray(nftables)) throw new DecodeError('nft -j list table', json, 'a list, nftables')
  const objects: readonly NftObject[] = nftables
  const elements = objects.flatMap(({ set }) =>
    set?.name === 'peers4' || set?.name === 'peers6' ? (set.elem ?? []) : [],
  )
  const verdicts = objects.flatMap(({ rule }) =>
    rule?.chain === 'input'
      ? VERDICTS.filter((verdict) => rule.expr?.some((expression) => verdict in expression))
      : [],
  )
  return {
    peers: new Set(elements.flatMap(({ concat }) => concat?.join(' ') ?? [])),
    // Peers of IPv4, peers of IPv6, nobody else. Who flushes the table takes these and leaves the rest.
    hasTable: verdicts.join(' ') === 'accept accept drop',
  }
}
