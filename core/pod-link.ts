// Which device of a launcher pod carries a VMI network, and what an `ip -j link` reader needs of it.
import { CNI_CODE, CniError, DecodeError } from './errors.ts'
import { isSecondaryPodLink, PRIMARY_POD_LINK, toPodLinkName } from './name.ts'

export interface PodLink {
  readonly name: string
  readonly mac: string
  readonly mtuBytes: number
  readonly isUp: boolean
  /** It shares another device with others like it (macvlan, ipvlan). */
  readonly isShared: boolean
  /** A tap made for several queues. */
  readonly isMultiQueue: boolean
  /** Of the network's people, or ours. */
  readonly alias: string
}

/** The keys we read of ip-link(8)'s JSON. */
interface IpLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly flags: readonly string[]
  readonly ifalias: string
  /** With -d alone. */
  readonly linkinfo: {
    readonly info_kind?: string
    readonly info_data?: { readonly multi_queue?: boolean }
  }
}

/** The output of `ip -j -d link show`: a list of links, or nothing at all. Throws DecodeError. */
export function parseLinks(json: string): readonly PodLink[] {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json)
  if (!Array.isArray(value)) throw new DecodeError('ip -j link', value, 'a list of links')
  // iproute2 leaves empty objects where a filter hid a link.
  return (value as Partial<IpLink>[])
    .filter((link) => link.ifname !== undefined)
    .map((link) => ({
      name: link.ifname ?? '',
      mac: link.address ?? '',
      mtuBytes: link.mtu ?? 0,
      isUp: link.flags?.includes('UP') ?? false,
      isShared: ['macvlan', 'ipvlan'].includes(link.linkinfo?.info_kind ?? ''),
      isMultiQueue: link.linkinfo?.info_data?.multi_queue ?? false,
      alias: link.ifalias ?? '',
    }))
}

/** A VMI network, as far as is known of it. */
export interface VmiNetwork {
  readonly name: string
  /** Whether it is the pod's own; undefined where nobody knows the VMI. */
  readonly isPrimary: boolean | undefined
}

/** KubeVirt's hashed name, where a link has it (pkg/network/namescheme, v1.9.0). */
export function findSecondaryLink(
  { name: networkName }: VmiNetwork,
  links: readonly PodLink[],
): PodLink | undefined {
  const hashed = toPodLinkName(networkName)
  return links.find((link) => link.name === hashed)
}

/**
 * The pod link of a VMI network: the one of KubeVirt's hashed name, else the primary. That is the one that
 * the pod's default routes, of these devices, lead out through: a CNI plugin may have moved them from eth0
 * to a link of its own. Where none do, or eth0 is among them, it is eth0. A secondary network's link is
 * made right before its binding runs: where it is missing, the primary is another NIC's. Throws CniError 104.
 */
export function getPodLink(
  network: VmiNetwork,
  links: readonly PodLink[],
  defaultDevices: readonly string[],
): PodLink {
  const hashed = findSecondaryLink(network, links)
  if (hashed !== undefined) return hashed
  const { name: networkName, isPrimary } = network
  const names = links.map(({ name }) => name).join(', ')
  if (isPrimary === false)
    throw new CniError(
      CNI_CODE.LINK_MISSING,
      `Cannot bind network "${networkName}": "${toPodLinkName(networkName)}" is not among the pod's links (${names}), expected the link of a secondary network`,
    )
  const leading = links.filter(
    ({ name }) => defaultDevices.includes(name) && !isSecondaryPodLink(name),
  )
  const usual = links.find(({ name }) => name === PRIMARY_POD_LINK)
  if (usual !== undefined && (leading.length === 0 || leading.includes(usual))) return usual
  if (leading.length === 1 && leading[0] !== undefined) return leading[0]
  const through = leading.map(({ name }) => name).join(', ')
  throw new CniError(
    CNI_CODE.LINK_MISSING,
    `Cannot bind network "${networkName}": "${toPodLinkName(networkName)}" is not among the pod's links (${names}), and its default routes lead through ${through === '' ? 'none' : through}, expected one of them, or "${PRIMARY_POD_LINK}"`,
  )
}

/** The keys we read of tc-filter(8)'s JSON. */
interface TcFilter {
  readonly options?: { readonly actions?: readonly { readonly to_dev?: string }[] }
}

/** Where the redirects in the output of `tc -j filter show` go; "*" is a device that is gone. Throws DecodeError. */
export function parseRedirects(json: string): readonly string[] {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json)
  if (!Array.isArray(value)) throw new DecodeError('tc -j filter', value, 'a list of filters')
  return (value as TcFilter[]).flatMap(
    ({ options }) => options?.actions?.flatMap(({ to_dev: target }) => target ?? []) ?? [],
  )
}
