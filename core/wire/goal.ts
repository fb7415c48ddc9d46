// How a node's part of a wire should be, and whether it is so already. Pure.
import type { WireAttachment } from '../attach/attachment.ts'
import { toTunnelDeviceName } from '../name.ts'
import type { ObservedLinks } from '../observe/links.ts'
import type { NodeObservation } from '../observe/node.ts'
import type { Classifier } from '../steps/argv.ts'
import { diff } from '../steps/diff.ts'
import { isMute, wantWire, type Redirect, type WireGoal } from './plan.ts'
import { toClaimAddress, toTunnel, type Far, type Tunnel, type TunnelEnd } from './tunnel.ts'
import {
  ENDS_PER_WIRE,
  findComing,
  findFarEnd,
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type AttachmentId,
  type Wire,
  type WireId,
} from './wire.ts'
import { toWirePart, type WirePart } from './part.ts'
import { listEndKeys } from './summary.ts'

export interface GoalFacts {
  readonly id: WireId
  readonly wire: Wire | undefined
  readonly part: WirePart
  /** The part's ends whose devices are there. */
  readonly plugged: readonly WireAttachment[]
  readonly node: string
  readonly links: ObservedLinks
  /** Where there may be one by now. */
  readonly tunnel: Tunnel | undefined
  /** Whether the owner of an end here has its interface up. */
  readonly isUp: (end: WireAttachment) => boolean
}

type PartThere = Pick<GoalFacts, 'wire' | 'part' | 'plugged' | 'node' | 'links'>

/** What of this node's part of a wire leads to other nodes, and what a migration's guest finds ready. */
export interface Ways {
  /** The end on another node that the one here is joined to. */
  readonly joined: EndClaim | undefined
  /** Whom the tunnel leads to: that one, or one that a migration is to join. */
  readonly far: Far | undefined
  /** The part's targets whose devices are there. */
  readonly targets: readonly WireAttachment[]
  /** The one here whose frames the tunnel carries. */
  readonly end: WireAttachment | undefined
  /** Of the ends here, what has a device. */
  readonly guest: WireAttachment | undefined
  readonly other: WireAttachment | undefined
}

/** Of the attachments here only those whose devices are there. */
export function findWays({ wire, part, plugged, node, links }: PartThere): Ways {
  const targets = part.targets.filter(({ hostDevice }) => links.has(hostDevice))
  const isWhole = wire !== undefined && !wire.isUnplugged && plugged.length === 1
  const joined = isWhole ? findFarEnd(wire, node) : undefined
  // Of those one source at a time is let through (core/wire/plan.ts).
  const coming = isMute([...plugged, ...targets]) ? undefined : findComing(wire)
  const guest = find(targets, coming?.target)
  const other = find(plugged, coming?.other)
  const awaited = [
    ...(coming && other && coming.target.node !== node ? [coming.target] : []),
    ...(coming && guest && coming.other.node !== node ? [coming.other] : []),
  ]
  const [first, ...others] = joined === undefined ? awaited : [joined, ...awaited]
  const [end] = [...plugged, ...targets]
  return { joined, far: first && { end: first, others }, targets, end, guest, other }
}

function find(
  all: readonly WireAttachment[],
  claim: AttachmentId | undefined,
): WireAttachment | undefined {
  return claim && all.find((one) => toAttachmentKey(one) === toAttachmentKey(claim))
}

/** What leads to a guest's end before it has come, and from it: frames of its own get through at once. */
function listReady(
  { joined, guest, other }: Ways,
  tunnel: Tunnel | undefined,
): readonly Redirect[] {
  if (guest !== undefined && other !== undefined)
    return [{ dev: guest.hostDevice, target: other.hostDevice }]
  // A tunnel of a wire that is joined leads to its end already.
  if (tunnel === undefined || joined !== undefined) return []
  const { device } = tunnel
  if (other !== undefined) return [{ dev: device, target: other.hostDevice }]
  if (guest === undefined) return []
  return [
    { dev: guest.hostDevice, target: device },
    { dev: device, target: guest.hostDevice },
  ]
}

export function toWireGoal(facts: GoalFacts): WireGoal {
  const { id, wire, part, plugged, links, tunnel, isUp } = facts
  const ways = findWays(facts)
  const { joined: far, targets } = ways
  const isIn = wire !== undefined && !wire.isUnplugged
  const isAcross = far !== undefined && tunnel !== undefined
  const isJoined = isIn && (isAcross || plugged.length === ENDS_PER_WIRE)
  // An end sees a carrier when the other end's owner has its interface up.
  const hasCarrier = (end: WireAttachment): boolean =>
    isJoined && (far?.isUp ?? plugged.every((other) => other === end || isUp(other)))
  return {
    ends: plugged.map((end) => ({ end, hasCarrier: hasCarrier(end) })),
    isJoined,
    tunnel,
    closing: ways.far === undefined ? toTunnelDeviceName(toWireKey(id)) : undefined,
    targets,
    ready: listReady(ways, tunnel),
    detached: [...part.lost, ...part.shutOut].filter(({ hostDevice }) => links.has(hostDevice)),
  }
}

/** The tunnel that these two need, once the wire has a VNI. */
export function findTunnel(
  wire: Wire | undefined,
  end: WireAttachment | undefined,
  far: Far | undefined,
  underlay: TunnelEnd | undefined,
): Tunnel | undefined {
  if (end === undefined || far === undefined || wire?.vni === undefined || underlay === undefined)
    return undefined
  return toTunnel(end, far, wire.vni, underlay)
}

export interface SettledFacts {
  readonly id: WireId
  readonly wire: Wire | undefined
  /** All that the node has of this wire. */
  readonly attachments: readonly WireAttachment[]
  readonly node: string
  readonly underlay: TunnelEnd | undefined
  readonly observed: NodeObservation
  readonly classifier: Classifier
}

/**
 * Whether there is nothing to do about a wire on a node, and nothing to tell, as far as can be seen from
 * outside its pods. False is a reason to look closer, no more.
 */
export function isSettled(facts: SettledFacts): boolean {
  const { id, wire, attachments, node, underlay, observed, classifier } = facts
  const { links } = observed
  const part = toWirePart(wire, attachments, node)
  const isClaimed = part.unclaimed.length === 0 && part.orphans.length === 0
  const isPhased =
    part.lost.every(({ phase }) => phase === 'released') &&
    part.ends.every(({ phase, isTarget }) => phase === 'ready' && isTarget === undefined)
  const isOurs = (wire?.ends ?? []).every(
    (end) => end.node !== node || end.address === toClaimAddress(underlay),
  )
  const isNoted = (wire?.displaced ?? []).some((one) => one.node === node)
  const isThere = [...part.ends, ...part.targets].every(({ hostDevice }) => links.has(hostDevice))
  if (!isClaimed || !isPhased || !isOurs || isNoted || !isThere) return false

  const { far, end } = findWays({ wire, part, plugged: part.ends, links, node })
  const hasTunnel = wire?.tunnelNodes.includes(node) ?? false
  if (hasTunnel !== (far !== undefined)) return false
  const tunnel = findTunnel(wire, end, far, underlay)
  if (far !== undefined && tunnel === undefined) return false

  const isUp = ({ hostDevice }: WireAttachment): boolean =>
    links.get(hostDevice)?.hasCarrier ?? false
  const goal = toWireGoal({ id, wire, part, plugged: part.ends, node, links, tunnel, isUp })
  return (
    isKnown(wire, part, goal, links) &&
    isReported(wire, part, goal, node) &&
    diff(wantWire(goal), observed, classifier).length === 0
  )
}

// Of an end that has its carrier taken away nobody outside the pod knows whether its owner has it up.
function isKnown(
  wire: Wire | undefined,
  { ends }: WirePart,
  { isJoined }: WireGoal,
  observed: ObservedLinks,
): boolean {
  return ends.every((end) => {
    const host = observed.get(end.hostDevice)
    if (host?.isUp !== true) return !isJoined
    const claim = wire?.ends.find((one) => toAttachmentKey(one) === toAttachmentKey(end))
    return claim?.isUp === host.hasCarrier
  })
}

function isReported(
  wire: Wire | undefined,
  { ends }: WirePart,
  { isJoined }: WireGoal,
  node: string,
): boolean {
  if (wire === undefined || ends.length === 0) return true
  const report = wire.reports.find((one) => one.node === node)
  const state = isJoined ? 'joined' : 'waiting'
  return report?.state === state && report.ends.join() === listEndKeys(wire).join()
}
