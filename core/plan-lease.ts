// How a VM's questions for addresses reach a DHCP server in its launcher, as steps: a veth pair, whose
// server end nobody but the VM can speak with, and the questions picked out of what the VM sends. Pure.
import type { TapAttachment } from './attachment.ts'
import {
  ANSWERED,
  ASKED,
  fromMac,
  toAnswerFor,
  toNeighbourAnswer,
  toNeighbourQuestion,
  toQuestionFor,
  type FrameMatch,
} from './frame-match.ts'
import { getFamily, parseCidr, toSolicited6 } from './ip.ts'
import { toEui64 } from './eui64.ts'
import type { Lease } from './lease.ts'
import { toServerNames } from './name.ts'
import type { AddAddressStep, Hook, PickStep, Step } from './step.ts'

/** The server's IPv4 address. Guests see it as the server's name, and route what they send there to their gateway. */
export const SERVER_ADDRESS = '169.254.75.10'
/** The advertising router's address where the pod link's own is not known. */
const UNKNOWN_ROUTER = 'fe80::a9fe:4b0a'

/** What the VM is asked and told through: on which hook of its device, and how it is handed a frame. */
export interface TapSide {
  readonly hears: Hook
  readonly isHanded: Hook
}

/** A tap hands on what its opener wrote as received, and its opener gets what is sent through it. */
export const TAP_SIDE: TapSide = { hears: 'ingress', isHanded: 'egress' }

/** A macvtap's opener sends through it, and gets what it receives. */
export const MACVTAP_SIDE: TapSide = { hears: 'egress', isHanded: 'ingress' }

interface Exchange {
  readonly asked: FrameMatch
  readonly answered: FrameMatch
  /** The link gets what is asked, too. */
  readonly isCopied?: true
}

/** Which questions are answered: those about families that the pod link has an address of. */
function listExchanges(lease: Lease): readonly Exchange[] {
  const linkLocal = getLinkLocal(lease)
  return [
    ...(lease.ipv4 === undefined ? [] : [{ asked: ASKED.dhcp4, answered: ANSWERED.dhcp4 }]),
    ...(lease.ipv6 === undefined
      ? []
      : [
          { asked: ASKED.dhcp6, answered: ANSWERED.dhcp6 },
          { asked: ASKED.router, answered: ANSWERED.router },
          // Here the server asks which MAC an address of the VM is at, and the VM answers.
          {
            asked: toNeighbourAnswer(linkLocal),
            answered: toNeighbourQuestion(linkLocal),
            // The gateway has the same address, and may have asked the same.
            ...(lease.router === undefined ? {} : { isCopied: true as const }),
          },
        ]),
    ...listSilent(lease).map((address) => ({
      asked: toQuestionFor(address),
      answered: toAnswerFor(address),
    })),
  ]
}

function listSilent({ silent }: Lease): readonly string[] {
  return silent?.addresses ?? []
}

/** Those of IPv4: the server has the others anyhow. */
function listSilent4(lease: Lease): readonly string[] {
  return listSilent(lease).filter((address) => getFamily(address) === 4)
}

/** How many filters hand something to the server on a VM's device. */
export function countPicks(lease: Lease): number {
  return listExchanges(lease).length
}

// All routers, and all DHCP servers and relays (RFC 4291, RFC 8415).
const ROUTERS = 'ff02::2'
const SERVERS = 'ff02::1:2'

// What a VM may ask at: else it would reach all of the launcher, and what is behind it, by those questions.
function listHeard(lease: Lease): readonly string[] {
  return [
    ...(lease.ipv4 === undefined ? [] : [SERVER_ADDRESS, '255.255.255.255']),
    ...(lease.ipv6 === undefined ? [] : [ROUTERS, SERVERS, getLinkLocal(lease)]),
    // A MAC that is not known is asked for in a group.
    ...listSilent(lease).flatMap((address) =>
      getFamily(address) === 6 ? toSolicited6(address) : [],
    ),
  ]
}

function getLinkLocal({ router }: Lease): string {
  return router?.linkLocal ?? UNKNOWN_ROUTER
}

/** The server's veth pair, up, and the way back from it. Both ends are made unless the server's is there. */
export function planServer(
  { netns: { path: netns }, tap }: TapAttachment,
  lease: Lease,
  side: TapSide,
  isThere: boolean,
): readonly Step[] {
  const { server, peer } = toServerNames(tap)
  const mac = lease.router?.mac ?? lease.silent?.mac
  return [
    ...(isThere
      ? []
      : [
          {
            op: 'add-pair',
            netns,
            dev: server,
            peer,
            ...(mac === undefined ? {} : { mac }),
          } as const,
        ]),
    { op: 'set-link', netns, dev: peer, isSilent: true },
    // A lease is renewed at the server's address, hence sent to the gateway's MAC.
    { op: 'take-all', netns, dev: server, addresses: listHeard(lease), asked: listSilent4(lease) },
    ...listExchanges(lease).map(({ answered }, at) =>
      toPick(netns, [peer, 'ingress'], at, answered, [tap, side.isHanded]),
    ),
    { op: 'set-link', netns, dev: peer, up: true },
    { op: 'set-link', netns, dev: server, up: true },
  ]
}

/** The VM's questions to the server. The redirect of all else must be behind them. */
export function planQuestions(
  { netns, tap }: TapAttachment,
  lease: Lease,
  side: TapSide,
): readonly Step[] {
  const { peer } = toServerNames(tap)
  return listExchanges(lease).map(({ asked, isCopied }, at) => ({
    ...toPick(netns.path, [tap, side.hears], at, fromMac(lease.mac, asked), [peer, 'egress']),
    ...(isCopied ? { isCopied } : {}),
  }))
}

function toPick(
  netns: string,
  [dev, hook]: readonly [string, Hook],
  at: number,
  frames: FrameMatch,
  [target, into]: readonly [string, Hook],
): PickStep {
  return { op: 'pick', netns, dev, hook, place: at + 1, frames, target, into }
}

/** The length of the prefix that is advertised: dnsmasq takes no longer one for it. */
export const RA_PREFIX = 64

/** Whether the advertised prefix is the link's own: else its addresses are behind the router. */
export function isPrefixOnLink(ipv6: string): boolean {
  return parseCidr(ipv6)?.prefix === RA_PREFIX
}

/** What the server's end has, but for what is there; the interface must be up, and speak IPv6 where it is to. */
export function planServerAddresses(
  { netns: { path: netns }, tap }: TapAttachment,
  lease: Lease,
  there: readonly string[],
): readonly Step[] {
  const { ipv4, ipv6, mac } = lease
  const dev = toServerNames(tap).server
  const common = { op: 'add-address', netns, dev } as const
  const steps: readonly AddAddressStep[] = [
    { ...common, address: `${SERVER_ADDRESS}/32` },
    // By which it answers ARP for them. What is sent to them does not come here.
    ...listSilent4(lease).map((address) => ({ ...common, address: `${address}/32` })),
    ...(ipv6 === undefined
      ? []
      : [
          { ...common, address: `${getLinkLocal(lease)}/64` },
          // dnsmasq advertises the prefixes that the interface has an address of. The VM's network is not
          // behind it.
          { ...common, address: `${ipv6.split('/')[0]}/${RA_PREFIX}`, isAlone: true as const },
        ]),
  ]
  // Nobody answers its ARP. The IPv6 address that most guests have need not be asked for.
  const known = [
    ...(ipv4 === undefined ? [] : [ipv4.split('/')[0] ?? '']),
    ...(ipv6 === undefined ? [] : [toEui64(mac)]),
  ]
  return [
    ...steps.filter(({ address }) => !there.includes(address)),
    ...known.map((address) => ({ op: 'set-neighbour', netns, dev, address, mac }) as const),
  ]
}

export function planUnserve({ netns: { path: netns }, tap }: TapAttachment): readonly Step[] {
  const { server } = toServerNames(tap)
  return [
    { op: 'forget-take-all', netns, dev: server },
    { op: 'del-link', netns, dev: server },
  ]
}
