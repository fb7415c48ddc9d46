// The links of a pod, as iproute2 tells all of them.
import type { LabNetns } from '../../lab/netns.ts'

export interface Link {
  readonly ifindex: number
  readonly ifname: string
  readonly mtu: number
  readonly address: string
  readonly flags: readonly string[]
  readonly inet6_addr_gen_mode: string
  readonly qdisc: string
  readonly linkinfo?: {
    readonly info_kind: string
    readonly info_data?: Readonly<Record<string, unknown>>
  }
}

export async function readLinks(pod: LabNetns): Promise<ReadonlyMap<string, Link>> {
  const links = JSON.parse(await pod.run(['ip', '-j', '-d', 'link', 'show'])) as Link[]
  return new Map(links.map((link) => [link.ifname, link]))
}

export async function listLinkNames(pod: LabNetns): Promise<readonly string[]> {
  return [...(await readLinks(pod)).keys()].sort()
}

export async function hasCarrier(pod: LabNetns, ifname = 'eth1'): Promise<boolean> {
  const link = (await readLinks(pod)).get(ifname)
  if (link === undefined) throw new Error(`No "${ifname}" in "${pod.name}"`)
  return link.flags.includes('LOWER_UP')
}
