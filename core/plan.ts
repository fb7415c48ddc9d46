// What must be done to a kernel so that a wire is as it should be. Pure: wanted and observed in,
// steps out. Add before delete, silent before up, redirect before carrier.
import type { TapAttachment, WireAttachment } from './attachment.ts'
import type { ObservedLink, ObservedLinks } from './observed.ts'
import type { Step } from './step.ts'
import { planTunnel, type Tunnel } from './tunnel.ts'
import { toWireKey } from './wire.ts'

/** Uid and gid of QEMU in a virt-launcher pod. */
const QEMU_ID = 107
// Less than 256 bytes are allowed (IFALIASZ); what is longer loses its tail.
const ALIAS_BYTES = 200

/** The device's purpose in words, for `ip link` readers; ASCII without quotes. */
export function toAlias(attachment: WireAttachment): string {
  const words = `l2wire ${toWireKey(attachment.wire)} ${attachment.holder} ${attachment.ifname}`
  return words.replaceAll(/[^\x20-\x7e]|["'\\]/g, '?').slice(0, ALIAS_BYTES)
}

/** Makes an end, pod end and host end, joined to nothing. What a failed attempt left of it goes first. */
export function planEnd(end: WireAttachment, observed: ObservedLinks): readonly Step[] {
  const left: readonly Step[] = observed.has(end.hostDevice)
    ? [{ op: 'del-link', netns: undefined, dev: end.hostDevice }]
    : []
  return [
    ...left,
    toVeth(end),
    // From the start: whoever else wants this hook (CNI's bandwidth plugin, for what a container sends)
    // is refused at once, and not the far end when it comes to be joined.
    { op: 'claim-ingress', netns: undefined, dev: end.hostDevice },
  ]
}

/**
 * Brings this node's part of one wire to where it should be. Two ends here are joined to each other,
 * one end to the tunnel where there is to be one; an end that leads nowhere has no carrier. Only ends
 * that are there are given: others are unplugged.
 */
export function planWire(
  ends: readonly WireAttachment[],
  observed: ObservedLinks,
  tunnel?: Tunnel,
): readonly Step[] {
  const [a, b] = ends
  const partner = b?.hostDevice ?? tunnel?.device
  const redirects: Step[] =
    a === undefined || partner === undefined
      ? []
      : [toRedirect(a.hostDevice, partner), toRedirect(partner, a.hostDevice)]
  return [
    ...(tunnel === undefined ? [] : planTunnel(tunnel, observed.get(tunnel.device))),
    ...redirects,
    ...(tunnel === undefined ? [] : [setHostLink(tunnel.device, true)]),
    ...ends.flatMap((end) =>
      toHostLinkSteps(end, observed.get(end.hostDevice), partner !== undefined),
    ),
  ]
}

/** Leaves an end without a cable: no carrier, and nothing it sends goes anywhere. */
export function planDetach(hostDevices: readonly string[]): readonly Step[] {
  return [
    // Carrier first: the owner sees the cable go before frames get lost.
    ...hostDevices.map((dev): Step => setHostLink(dev, false)),
    ...hostDevices.map((dev): Step => ({ op: 'del-redirect', netns: undefined, dev })),
  ]
}

/** Takes an end out: its devices go, and the ends that stay are detached. */
export function planUnplug(
  gone: WireAttachment,
  staying: readonly WireAttachment[],
  observed: ObservedLinks,
): readonly Step[] {
  const devices = staying.map((end) => end.hostDevice).filter((dev) => observed.has(dev))
  return [
    ...planDetach(devices),
    ...(observed.has(gone.hostDevice)
      ? [{ op: 'del-link', netns: undefined, dev: gone.hostDevice } as const]
      : []),
  ]
}

/**
 * Joins a tap to its pod link inside the launcher's namespace. maxFrameBytes is what the pod link is
 * set to where it is an end of our wire; another CNI's link keeps its MTU.
 */
export function planTap(
  attachment: TapAttachment,
  maxFrameBytes: number | undefined,
): readonly Step[] {
  const netns = attachment.netns.path
  const { tap, podLink, mtuBytes } = attachment
  return [
    { op: 'add-tap', netns, dev: tap, owner: QEMU_ID },
    { op: 'set-link', netns, dev: tap, mtuBytes, isSilent: true },
    {
      op: 'set-link',
      netns,
      dev: podLink,
      isSilent: true,
      ...(maxFrameBytes === undefined ? {} : { mtuBytes: maxFrameBytes }),
    },
    // A node whose default is fq_codel would let one flow overtake another.
    { op: 'del-queue', netns, dev: tap },
    { op: 'add-redirect', netns, dev: tap, target: podLink },
    { op: 'add-redirect', netns, dev: podLink, target: tap },
    { op: 'set-link', netns, dev: tap, up: true },
    { op: 'set-link', netns, dev: podLink, up: true },
  ]
}

/** Takes a tap away. The pod link stays silent: its launcher is going away with it. */
export function planUntap(attachment: TapAttachment): readonly Step[] {
  const netns = attachment.netns.path
  return [
    { op: 'del-redirect', netns, dev: attachment.podLink },
    { op: 'del-link', netns, dev: attachment.tap },
  ]
}

function toVeth(end: WireAttachment): Step {
  return {
    op: 'add-veth',
    netns: end.netns.path,
    dev: end.ifname,
    mac: end.mac,
    mtuBytes: end.mtuBytes,
    hostDevice: end.hostDevice,
    hostMtuBytes: end.maxFrameBytes,
  }
}

function toHostLinkSteps(
  end: WireAttachment,
  observed: ObservedLink | undefined,
  isJoined: boolean,
): readonly Step[] {
  const alias = toAlias(end)
  if (observed === undefined || observed.alias !== alias)
    return [
      {
        op: 'set-link',
        netns: undefined,
        dev: end.hostDevice,
        isSilent: true,
        alias,
        up: isJoined,
      },
    ]
  return observed.isUp === isJoined ? [] : [setHostLink(end.hostDevice, isJoined)]
}

function setHostLink(dev: string, up: boolean): Step {
  return { op: 'set-link', netns: undefined, dev, up }
}

function toRedirect(dev: string, target: string): Step {
  return { op: 'add-redirect', netns: undefined, dev, target }
}
