// Plans how a VM's questions for addresses reach a DHCP server in its launcher: a veth pair whose server end
// only the VM can reach, and filters that steer the questions out of the VM's frames. Pure.
import type { TapAttachment } from '../attach/attachment.ts'
import { PLACE } from '../steps/filter-place.ts'
import {
  ANSWERED,
  ASKED,
  fromMac,
  toForeignRebind,
  toAnswerFor,
  toNeighbourAnswer,
  toNeighbourQuestion,
  toQuestionFor,
  type FrameMatch,
} from '../steps/frame-match.ts'
import { getFamily, parseCidr, toSolicited6 } from '../net/ip.ts'
import { toEui64 } from '../net/eui64.ts'
import type { VmNetwork } from './vm-network.ts'
import { toServerNames } from '../name.ts'
import type { AddAddressStep, Hook, SteerStep, Step } from '../steps/step.ts'

/** The server's IPv4 address. Guests see it as the server's ID. Packets for it go to their gateway. */
export const SERVER_ADDRESS = '169.254.75.10'
/** The MTU of the server's pair: the kernel's default, in which every answer fits. */
const SERVER_MTU = 1500
/** The advertising router's address if the pod link's own router is unknown. */
const UNKNOWN_ROUTER = 'fe80::a9fe:4b0a'

/** On which hooks of the VM's device we hear its frames and hand it frames. */
export interface TapSide {
  readonly hears: Hook
  readonly isHanded: Hook
}

/**
 * A tap receives the frames that its opener writes, and its opener reads the frames that are sent through it.
 */
export const TAP_SIDE: TapSide = { hears: 'ingress', isHanded: 'egress' }

/** A macvtap's opener sends through it, and reads the frames that it receives. */
export const MACVTAP_SIDE: TapSide = { hears: 'egress', isHanded: 'ingress' }

interface Exchange {
  readonly asked: FrameMatch
  /** Undefined if another exchange covers these answers. */
  readonly answered?: FrameMatch
  /** The server gets it rewritten as another question. */
  readonly isTurned?: true
  /** The link gets the question, too. */
  readonly isCopied?: true
}

/** The exchanges of the families that the pod link has an address of. */
function listExchanges(vmNetwork: VmNetwork): readonly Exchange[] {
  const all = listAllExchanges(vmNetwork)
  // Without room for the filter, a client that wants to keep an earlier pod's address learns that its lifetime
  // is zero, instead of that it is not on the link.
  return all.length < PLACE.behindSteering ? all : all.filter(({ isTurned }) => !isTurned)
}

function listAllExchanges(vmNetwork: VmNetwork): readonly Exchange[] {
  const linkLocal = getLinkLocal(vmNetwork)
  const [own = ''] = vmNetwork.ipv6?.split('/') ?? []
  return [
    ...(vmNetwork.ipv4 === undefined ? [] : [{ asked: ASKED.dhcp4, answered: ANSWERED.dhcp4 }]),
    ...(vmNetwork.ipv6 === undefined
      ? []
      : [
          { asked: toForeignRebind(own), isTurned: true as const },
          { asked: ASKED.dhcp6, answered: ANSWERED.dhcp6 },
          { asked: ASKED.router, answered: ANSWERED.router },
          // In this exchange the server asks for the MAC of an address of the VM, and the VM answers.
          {
            asked: toNeighbourAnswer(linkLocal),
            answered: toNeighbourQuestion(linkLocal),
            // The gateway has the same address and may have asked the same.
            ...(vmNetwork.router === undefined ? {} : { isCopied: true as const }),
          },
        ]),
    ...listSilent(vmNetwork).map((address) => ({
      asked: toQuestionFor(address),
      answered: toAnswerFor(address),
    })),
  ]
}

function listSilent({ silent }: VmNetwork): readonly string[] {
  return silent?.addresses ?? []
}

/** The IPv4 ones only. The server has the IPv6 ones anyway. */
function listSilent4(vmNetwork: VmNetwork): readonly string[] {
  return listSilent(vmNetwork).filter((address) => getFamily(address) === 4)
}

// All routers, and all DHCP servers and relays (RFC 4291, RFC 8415).
const ROUTERS = 'ff02::2'
const SERVERS = 'ff02::1:2'

// The addresses that a VM may ask at. Without this limit its questions would reach all of the launcher, and
// everything behind it.
function listHeard(vmNetwork: VmNetwork): readonly string[] {
  return [
    ...(vmNetwork.ipv4 === undefined ? [] : [SERVER_ADDRESS, '255.255.255.255']),
    ...(vmNetwork.ipv6 === undefined ? [] : [ROUTERS, SERVERS, getLinkLocal(vmNetwork)]),
    // Solicitations for an unknown MAC go to a multicast group.
    ...listSilent(vmNetwork).flatMap((address) =>
      getFamily(address) === 6 ? toSolicited6(address) : [],
    ),
  ]
}

function getLinkLocal({ router }: VmNetwork): string {
  return router?.linkLocal ?? UNKNOWN_ROUTER
}

/** The server's veth pair, up, and the way back from it. */
export function wantServer(
  { netns: { path: netns }, tap }: TapAttachment,
  vmNetwork: VmNetwork,
  side: TapSide,
): readonly Step[] {
  const { server, peer } = toServerNames(tap)
  const mac = vmNetwork.router?.mac ?? vmNetwork.silent?.mac
  const exchanges = listExchanges(vmNetwork)
  return [
    { op: 'add-pair', netns, dev: server, peer, ...(mac === undefined ? {} : { mac }) },
    { op: 'set-link', netns, dev: peer, mtuBytes: SERVER_MTU, isSilent: true },
    // The VM renews a lease at the server's address, and so sends to the gateway's MAC.
    {
      op: 'accept-for',
      netns,
      dev: server,
      addresses: listHeard(vmNetwork),
      asked: listSilent4(vmNetwork),
      ...(exchanges.some(({ isTurned }) => isTurned) ? { confirmsAt: peer } : {}),
    },
    ...exchanges
      .flatMap(({ answered }) => answered ?? [])
      .map((answered, at) => toPick(netns, [peer, 'ingress'], at, answered, [tap, side.isHanded])),
    // A guest must know that an answer has no checksum, and not every guest does.
    { op: 'stop-offload', netns, dev: server },
    { op: 'set-link', netns, dev: peer, up: true },
    // It answers for gateways by ARP, and hears questions in multicast groups.
    { op: 'set-link', netns, dev: server, mtuBytes: SERVER_MTU, isSilent: false, up: true },
  ]
}

/** Steers the VM's questions to the server. The redirect of all other frames must be behind these filters. */
export function wantQuestions(
  { netns, tap }: TapAttachment,
  vmNetwork: VmNetwork,
  side: TapSide,
): readonly Step[] {
  const { peer } = toServerNames(tap)
  return listExchanges(vmNetwork).map(({ asked, isCopied, isTurned }, at) => ({
    ...toPick(netns.path, [tap, side.hears], at, fromMac(vmNetwork.mac, asked), [
      peer,
      isTurned ? 'ingress' : 'egress',
    ]),
    ...(isCopied ? { isCopied } : {}),
  }))
}

function toPick(
  netns: string,
  [dev, hook]: readonly [string, Hook],
  at: number,
  frames: FrameMatch,
  [target, into]: readonly [string, Hook],
): SteerStep {
  return { op: 'steer', netns, dev, hook, place: at + 1, frames, target, into }
}

/** The length of the advertised prefix. dnsmasq accepts no longer one. */
export const RA_PREFIX = 64

/** Whether the advertised prefix is the link's own. Otherwise its addresses are behind the router. */
export function isPrefixOnLink(ipv6: string): boolean {
  return parseCidr(ipv6)?.prefix === RA_PREFIX
}

/** The addresses of the server's end. The interface must be up, and have IPv6 enabled if the VM's network has IPv6. */
export function wantServerAddresses(
  { netns: { path: netns }, tap }: TapAttachment,
  vmNetwork: VmNetwork,
): readonly Step[] {
  const { ipv4, ipv6, mac } = vmNetwork
  const dev = toServerNames(tap).server
  const common = { op: 'add-address', netns, dev } as const
  const steps: readonly AddAddressStep[] = [
    { ...common, address: `${SERVER_ADDRESS}/32` },
    // With these it answers ARP. Packets for them do not come here.
    ...listSilent4(vmNetwork).map((address) => ({ ...common, address: `${address}/32` })),
    ...(ipv6 === undefined
      ? []
      : [
          { ...common, address: `${getLinkLocal(vmNetwork)}/64` },
          // dnsmasq advertises only prefixes of the interface's addresses. The VM's network is not behind this
          // interface.
          { ...common, address: `${ipv6.split('/')[0]}/${RA_PREFIX}`, isAlone: true as const },
        ]),
  ]
  // Nobody answers ARP for the VM's address. For the IPv6 address that most guests have, no solicitation is
  // needed.
  const known = [
    ...(ipv4 === undefined ? [] : [ipv4.split('/')[0] ?? '']),
    ...(ipv6 === undefined ? [] : [toEui64(mac)]),
  ]
  return [
    ...steps,
    ...known.map((address) => ({ op: 'set-neighbour', netns, dev, address, mac }) as const),
  ]
}

export function planUnserve({ netns: { path: netns }, tap }: TapAttachment): readonly Step[] {
  const { server } = toServerNames(tap)
  return [
    { op: 'forget-accept-for', netns, dev: server },
    { op: 'del-link', netns, dev: server },
  ]
}
