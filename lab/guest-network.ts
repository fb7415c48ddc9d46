// A NIC's network in a form that tests compare: a guest's with its pod's.
import type { Guest } from './guest.ts'
import type { LabNetns } from './netns.ts'

export interface NicState {
  readonly mac: string
  readonly mtu: number
  /** "10.0.0.2", sorted. Of IPv6 only addresses beyond the link. */
  readonly addresses: readonly string[]
  /** "default via 10.0.0.1", "10.0.0.0/24", sorted. */
  readonly routes: readonly string[]
}

interface IpAddress {
  readonly local: string
  readonly scope: string
}
interface IpLink {
  readonly address: string
  readonly mtu: number
  readonly addr_info: readonly IpAddress[]
}
interface IpRoute {
  readonly dst: string
  readonly gateway?: string
  readonly type?: string
}

type Ask = (argv: readonly string[]) => Promise<string>

export async function readPodNic(netns: Pick<LabNetns, 'run'>, dev: string): Promise<NicState> {
  return readNic(netns.run, 'ip', dev)
}

/** The guest needs Debian's iproute2. */
export async function readGuestNic(guest: Guest, dev: string): Promise<NicState> {
  return readNic(async (argv) => guest.run(argv.join(' ')), '/usr/sbin/ip', dev)
}

async function readNic(ask: Ask, ip: string, dev: string): Promise<NicState> {
  const [link] = JSON.parse(await ask([ip, '-j', 'address', 'show', 'dev', dev])) as IpLink[]
  if (link === undefined) throw new Error(`No device "${dev}"`)
  const routes: IpRoute[] = []
  for (const family of ['-4', '-6']) {
    const shown = await ask([ip, family, '-j', 'route', 'show', 'dev', dev])
    routes.push(...(JSON.parse(shown.trim() === '' ? '[]' : shown) as IpRoute[]))
  }
  const isBeyond = ({ dst }: IpRoute): boolean => !/^(fe80::|ff00::|multicast)/.test(dst)
  return {
    mac: link.address,
    mtu: link.mtu,
    addresses: link.addr_info
      .filter(({ scope }) => scope === 'global')
      .map(({ local }) => local)
      .toSorted(),
    routes: routes.filter(isBeyond).map(toText).toSorted(),
  }
}

function toText({ dst, gateway }: IpRoute): string {
  return gateway === undefined ? dst : `${dst} via ${gateway}`
}

/** Gives the NIC normal IPv6: a link-local address that asks for a router. */
export async function switchOnIpv6(guest: Guest, dev: string): Promise<void> {
  // Without it on "lo" the kernel refuses routes.
  for (const one of ['lo', dev])
    await guest.run(`echo 0 >/proc/sys/net/ipv6/conf/${one}/disable_ipv6`)
}
