// What must be done to a kernel so that a wire is as it should be. Pure: wanted and observed in,
// steps out. Add before delete, silent before up, redirect before carrier.
import type { WireAttachment } from './attachment.ts'
import type { ObservedLink, ObservedLinks } from './observed.ts'
import type { Step } from './step.ts'
import { planTunnel, planUntunnel, type Tunnel } from './tunnel.ts'
import { toWireKey } from './wire.ts'

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

/** An end of this node that is plugged in, and whether its owner is to see a carrier. */
export interface GoalEnd {
  readonly end: WireAttachment
  readonly hasCarrier: boolean
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
  /** Those that have lost their end. */
  readonly detached: readonly WireAttachment[]
}

export interface WirePlan {
  /** Must all succeed. */
  readonly steps: readonly Step[]
  /** Passed over where it is gone already; after the steps, so that what goes on leads elsewhere by then. */
  readonly removals: readonly Step[]
}

/**
 * Brings this node's part of one wire to where it should be: redirects before carrier, new before old.
 * Nothing to do is no step. peers are the permissions that were seen, "address vni", where somebody looked.
 */
export function planWire(
  goal: WireGoal,
  observed: ObservedLinks,
  peers?: ReadonlySet<string>,
): WirePlan {
  const { tunnel, closing } = goal
  const cable = toCable(goal)
  const before = tunnel === undefined ? undefined : observed.get(tunnel.device)
  const tunnelSteps = tunnel === undefined ? [] : planTunnel(tunnel, before, peers)
  // One that is made anew has nothing of what was seen of it, and what led to the old one leads nowhere.
  const isNew = tunnelSteps.some(({ op }) => op === 'add-vxlan')
  const seen = isNew ? undefined : before
  const alone = cable === undefined ? listDevices(goal) : []
  return {
    steps: [
      ...goal.ends.flatMap(({ end, hasCarrier }) =>
        hasCarrier ? [] : toHostLinkSteps(end, observed.get(end.hostDevice), false),
      ),
      ...tunnelSteps,
      ...(cable === undefined ? [] : planJoint(cable, isNew ? new Map() : observed)),
      ...(tunnel === undefined || seen?.isUp === true ? [] : [setHostLink(tunnel.device, true)]),
      ...goal.ends.flatMap(({ end, hasCarrier }) =>
        hasCarrier ? toHostLinkSteps(end, observed.get(end.hostDevice), true) : [],
      ),
    ],
    removals: [...planIdle(goal.detached, alone, observed), ...planClosing(closing, observed)],
  }
}

function listDevices({ ends }: WireGoal): readonly string[] {
  return ends.map(({ end }) => end.hostDevice)
}

/** The two devices that are to lead to each other. */
function toCable(goal: WireGoal): readonly [string, string] | undefined {
  const [a, b = goal.tunnel?.device] = listDevices(goal)
  return goal.isJoined && a !== undefined && b !== undefined ? [a, b] : undefined
}

/** What comes in at dev goes to target; undefined: nowhere. */
export interface Lead {
  readonly dev: string
  readonly target: string | undefined
}

/** How everything leads once a goal is reached. */
export function listLeads(goal: WireGoal): readonly Lead[] {
  const [a, b] = toCable(goal) ?? []
  const idle = [
    ...goal.detached.map(({ hostDevice }) => hostDevice),
    ...(a === undefined ? listDevices(goal) : []),
  ]
  return [
    ...(a === undefined || b === undefined
      ? []
      : [
          { dev: a, target: b },
          { dev: b, target: a },
        ]),
    ...idle.map((dev) => ({ dev, target: undefined })),
  ]
}

function planJoint([a, b]: readonly [string, string], observed: ObservedLinks): readonly Step[] {
  const leads = (from: string, to: string): boolean => observed.get(from)?.redirects?.join() === to
  return [...(leads(a, b) ? [] : [toRedirect(a, b)]), ...(leads(b, a) ? [] : [toRedirect(b, a)])]
}

// Those that lost their end go down here; the others' carrier is among the steps. Where nobody looked a
// device may lead anywhere, but for one that no look has been at: that has no alias yet.
function planIdle(
  detached: readonly WireAttachment[],
  alone: readonly string[],
  observed: ObservedLinks,
): readonly Step[] {
  const mayLead = (dev: string): boolean => {
    const link = observed.get(dev)
    if (link === undefined) return false
    return link.redirects === undefined ? link.alias !== '' : link.redirects.length > 0
  }
  return [
    ...detached.flatMap((end) => {
      const link = observed.get(end.hostDevice)
      // One that lost its end before it was joined has no alias yet.
      return link === undefined ? [] : toHostLinkSteps(end, link, false)
    }),
    ...[...detached.map(({ hostDevice }) => hostDevice), ...alone]
      .filter(mayLead)
      .map((dev): Step => ({ op: 'del-redirect', netns: undefined, dev })),
  ]
}

function planClosing(device: string | undefined, observed: ObservedLinks): readonly Step[] {
  const link = device === undefined ? undefined : observed.get(device)
  return device === undefined || link === undefined ? [] : planUntunnel(device, link)
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
  up: boolean,
): readonly Step[] {
  const alias = toAlias(end)
  if (observed === undefined || observed.alias !== alias)
    return [{ op: 'set-link', netns: undefined, dev: end.hostDevice, isSilent: true, alias, up }]
  return observed.isUp === up ? [] : [setHostLink(end.hostDevice, up)]
}

function setHostLink(dev: string, up: boolean): Step {
  return { op: 'set-link', netns: undefined, dev, up }
}

function toRedirect(dev: string, target: string): Step {
  return { op: 'add-redirect', netns: undefined, dev, target }
}
