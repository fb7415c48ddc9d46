// Which device of a launcher pod carries a VMI network, and what an `ip -j link` reader needs of it.
import { CNI_CODE, CniError, DecodeError } from './errors.ts'
import { PRIMARY_POD_LINK, toPodLinkName } from './name.ts'

export interface PodLink {
  readonly name: string
  readonly mac: string
  readonly mtuBytes: number
  readonly isUp: boolean
}

/** The keys we read of ip-link(8)'s JSON. */
interface IpLink {
  readonly ifname: string
  readonly address: string
  readonly mtu: number
  readonly flags: readonly string[]
}

/** The output of `ip -j link show`: a list of links, or nothing at all. Throws DecodeError. */
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
    }))
}

/**
 * The pod link of a VMI network: KubeVirt's hashed name where it exists, else the primary eth0
 * (pkg/network/namescheme, v1.9.0; a secondary network's link is made right before its binding runs).
 * Throws CniError 104.
 */
export function getPodLink(networkName: string, links: readonly PodLink[]): PodLink {
  const hashed = toPodLinkName(networkName)
  const link =
    links.find(({ name }) => name === hashed) ?? links.find(({ name }) => name === PRIMARY_POD_LINK)
  if (link !== undefined) return link
  const names = links.map(({ name }) => name).join(', ')
  throw new CniError(
    CNI_CODE.LINK_MISSING,
    `Cannot bind network "${networkName}": neither "${hashed}" nor "${PRIMARY_POD_LINK}" is among the pod's links (${names})`,
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
