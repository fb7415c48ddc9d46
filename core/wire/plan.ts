// A wire as it should be on a node, as steps: all of it, in order. Pure: core/steps/diff.ts says which of them are left
// to be done. New before old, silent before up, redirect before carrier.
import { IPV6_MTU_MIN } from '../net/address.ts'
import type { WireAttachment } from '../attach/attachment.ts'
import type { ObservedLinks } from '../observe/links.ts'
import type { AddVethStep, SetLinkStep, Step } from '../steps/step.ts'
import { wantTunnel, type Tunnel } from './tunnel.ts'
import { toWireKey } from './wire.ts'

// Less than 256 bytes are allowed (IFALIASZ); what is longer loses its tail.
const ALIAS_BYTES = 200

/** The device's purpose in words, for `ip link` readers; ASCII without quotes. */
export function toAlias(attachment: WireAttachment): string {
  const words = `l2wire ${toWireKey(attachment.wire)} ${attachment.holder} ${attachment.ifname}`
  return words.replaceAll(/[^\x20-\x7e]|["'\\]/g, '?').slice(0, ALIAS_BYTES)
}

/**
 * Makes an end, pod end and host end, joined to nothing. What a failed attempt left of it goes first. A pod
 * end that is a VM's is silent from the start: the pod's own stack would speak with the VM's MAC.
 */
export function planEnd(
  end: WireAttachment,
  observed: ObservedLinks,
  isOfVm: boolean,
): readonly Step[] {
  const left = observed.has(end.hostDevice) ? [delLink(end.hostDevice)] : []
  return [
    ...left,
    { ...toVeth(end), ...(isOfVm ? { isSilent: true } : {}) },
    ...listWhole([end]).map(stopOffload),
    // From the start: whoever else wants this hook (CNI's bandwidth plugin, for what a container sends)
    // is refused at once, and not the far end when it comes to be joined.
    { op: 'claim-ingress', netns: undefined, dev: end.hostDevice },
  ]
}

/** An end of this node that is plugged in, and whether its owner is to see a carrier. */
export interface GoalEnd {
  readonly end: WireAttachment
  readonly hasCarrier: boolean
}

/** What comes in at a device leaves by the target. */
export interface Redirect {
  readonly dev: string
  readonly target: string
}

/** How this node's part of a wire should be. */
export interface WireGoal {
  /** Only ends whose devices are there: others are unplugged. */
  readonly ends: readonly GoalEnd[]
  /** Whether frames go through: to the other end here, or into the tunnel. */
  readonly isJoined: boolean
  /** Where the far end is on another node. */
  readonly tunnel?: Tunnel | undefined
  /** The tunnel's device where there should be none. */
  readonly closing?: string | undefined
  /** Those that stand by for a migration's guest, and whose devices are there. */
  readonly targets: readonly WireAttachment[]
  /** Beside the joint: what is ready for that guest. */
  readonly ready: readonly Redirect[]
  /** Those that have lost their end, and whose devices are there. */
  readonly detached: readonly WireAttachment[]
}

/** Nothing of it depends on what is there. */
export function wantWire(goal: WireGoal): readonly Step[] {
  const { ends, tunnel, closing, targets, ready, detached } = goal
  const cable = toCable(goal)
  const leading = new Set(ready.map(({ dev }) => dev))
  const idle = [
    ...targets.filter(({ hostDevice }) => !leading.has(hostDevice)),
    ...detached,
    ...(cable === undefined ? ends.map(({ end }) => end) : []),
  ]
  return [
    // Carrier goes before what it stands for, and comes behind it.
    ...ends.flatMap(({ end, hasCarrier }) => (hasCarrier ? [] : [wantHostEnd(end, false)])),
    ...(tunnel === undefined ? [] : wantTunnel(tunnel)),
    ...listWhole(ends.map(({ end }) => end)).map(stopOffload),
    ...(cable === undefined ? [] : wantJoint(cable, isMute(ends.map(({ end }) => end)))),
    ...ready.map(({ dev, target }): Step => ({
      op: 'add-redirect',
      netns: undefined,
      dev,
      target,
    })),
    ...(tunnel === undefined ? [] : [setHostLink(tunnel.device, true)]),
    ...ends.flatMap(({ end, hasCarrier }) => (hasCarrier ? [wantHostEnd(end, true)] : [])),
    // Up: the first frame of the guest is counted, and its NIC sees no change when it has come.
    ...targets.map((end) => wantHostEnd(end, true)),
    ...detached.map((end) => wantHostEnd(end, false)),
    ...idle.map(({ hostDevice: dev }): Step => ({ op: 'del-redirect', netns: undefined, dev })),
    ...(closing === undefined ? [] : [delLink(closing)]),
  ]
}

/** The two devices that are to lead to each other. */
function toCable({ ends, tunnel, isJoined }: WireGoal): readonly [string, string] | undefined {
  const [a, b = tunnel?.device] = ends.map(({ end }) => end.hostDevice)
  return isJoined && a !== undefined && b !== undefined ? [a, b] : undefined
}

function wantJoint([a, b]: readonly [string, string], hasToBeMute: boolean): readonly Step[] {
  return [...wantRedirect(a, b, hasToBeMute), ...wantRedirect(b, a, hasToBeMute)]
}

function wantRedirect(dev: string, target: string, hasToBeMute: boolean): readonly Step[] {
  const redirect: Step = { op: 'add-redirect', netns: undefined, dev, target }
  if (!hasToBeMute) return [redirect]
  // There is nothing to be set that outlives a change of the MTU: only what comes from the other end gets out.
  return [
    { op: 'let-through', netns: undefined, dev: target, source: dev },
    redirect,
    { op: 'drop-egress', netns: undefined, dev: target },
  ]
}

/** Whether the devices of these ends, and their tunnel, have to be kept mute by filters. */
export function isMute(ends: readonly WireAttachment[]): boolean {
  return ends.some(({ maxFrameBytes }) => maxFrameBytes < IPV6_MTU_MIN)
}

/** Leaves an end without a cable: no carrier, and nothing it sends goes anywhere. */
export function planDetach(hostEnds: readonly string[]): readonly Step[] {
  return [
    // Carrier first: the owner sees the cable go before frames get lost.
    ...hostEnds.map((dev): Step => setHostLink(dev, false)),
    ...hostEnds.map((dev): Step => ({ op: 'del-redirect', netns: undefined, dev })),
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
    ...(observed.has(gone.hostDevice) ? [delLink(gone.hostDevice)] : []),
  ]
}

function delLink(dev: string): Step {
  return { op: 'del-link', netns: undefined, dev }
}

function toVeth(end: WireAttachment): AddVethStep {
  return {
    op: 'add-veth',
    netns: end.netns.path,
    dev: end.ifname,
    mac: end.mac,
    mtuBytes: end.mtuBytes,
    hostEnd: end.hostDevice,
  }
}

// On the host end: whatever comes for the pod is sent through it, and the pod end is its owner's.
function stopOffload(dev: string): Step {
  return { op: 'stop-offload', netns: undefined, dev }
}

/** The host ends that everything leaves whole. */
export function listWhole(ends: readonly WireAttachment[]): readonly string[] {
  return ends.filter(({ offload }) => offload === false).map(({ hostDevice }) => hostDevice)
}

function wantHostEnd(end: WireAttachment, up: boolean): SetLinkStep {
  const [dev, mtuBytes, alias] = [end.hostDevice, end.maxFrameBytes, toAlias(end)]
  return { op: 'set-link', netns: undefined, dev, mtuBytes, isSilent: true, alias, up }
}

function setHostLink(dev: string, up: boolean): Step {
  return { op: 'set-link', netns: undefined, dev, up }
}
