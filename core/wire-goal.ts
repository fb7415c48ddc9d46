// How a node's part of a wire should be, and whether it is so already. Pure.
import type { WireAttachment } from './attachment.ts'
import { toTunnelDeviceName } from './name.ts'
import type { ObservedLinks } from './observed.ts'
import { planWire, type WireGoal } from './plan.ts'
import { toClaimAddress, toTunnel, type Tunnel, type TunnelEnd } from './tunnel.ts'
import {
  ENDS_PER_WIRE,
  findFarEnd,
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from './wire.ts'
import { toWirePart, type WirePart } from './wire-part.ts'
import { listEndKeys } from './wire-summary.ts'

export interface GoalFacts {
  readonly id: WireId
  readonly wire: Wire | undefined
  readonly part: WirePart
  /** The part's ends whose devices are there. */
  readonly plugged: readonly WireAttachment[]
  readonly node: string
  /** Where there may be one by now. */
  readonly tunnel: Tunnel | undefined
  /** Whether the owner of an end here has its interface up. */
  readonly isUp: (end: WireAttachment) => boolean
}

/** The end on another node that the one here is to be joined to. */
export function findFar(
  wire: Wire | undefined,
  plugged: readonly WireAttachment[],
  node: string,
): EndClaim | undefined {
  const isWhole = wire !== undefined && !wire.isUnplugged && plugged.length === 1
  return isWhole ? findFarEnd(wire, node) : undefined
}

export function toWireGoal({ id, wire, part, plugged, node, tunnel, isUp }: GoalFacts): WireGoal {
  const far = findFar(wire, plugged, node)
  const isIn = wire !== undefined && !wire.isUnplugged
  const isJoined = isIn && (tunnel !== undefined || plugged.length === ENDS_PER_WIRE)
  // An end sees a carrier when the other end's owner has its interface up.
  const hasCarrier = (end: WireAttachment): boolean =>
    isJoined && (far?.isUp ?? plugged.every((other) => other === end || isUp(other)))
  return {
    ends: plugged.map((end) => ({ end, hasCarrier: hasCarrier(end) })),
    isJoined,
    tunnel,
    closing: far === undefined ? toTunnelDeviceName(toWireKey(id)) : undefined,
    detached: [...part.lost, ...part.shutOut],
  }
}

export interface SettledFacts {
  readonly id: WireId
  readonly wire: Wire | undefined
  /** All that the node has of this wire. */
  readonly attachments: readonly WireAttachment[]
  readonly node: string
  readonly underlay: TunnelEnd | undefined
  /** With redirects. */
  readonly observed: ObservedLinks
  readonly peers: ReadonlySet<string>
}

/**
 * Whether there is nothing to do about a wire on a node, and nothing to tell, as far as can be seen from
 * outside its pods. False is a reason to look closer, no more.
 */
export function isSettled(facts: SettledFacts): boolean {
  const { id, wire, attachments, node, underlay, observed, peers } = facts
  const part = toWirePart(wire, attachments, node)
  const isClaimed = part.unclaimed.length === 0 && part.strays.length === 0
  const isPhased =
    part.lost.every(({ phase }) => phase === 'released') &&
    part.ends.every(({ phase }) => phase === 'ready')
  const isOurs = (wire?.ends ?? []).every(
    (end) => end.node !== node || end.address === toClaimAddress(underlay),
  )
  const isNoted = (wire?.displaced ?? []).some((one) => one.node === node)
  const isThere = part.ends.every(({ hostDevice }) => observed.has(hostDevice))
  if (!isClaimed || !isPhased || !isOurs || isNoted || !isThere) return false

  const [end] = part.ends
  const far = findFar(wire, part.ends, node)
  const hasTunnel = wire?.tunnelNodes.includes(node) ?? false
  if (hasTunnel !== (far !== undefined)) return false
  const tunnel =
    end === undefined || far === undefined || wire?.vni === undefined || underlay === undefined
      ? undefined
      : toTunnel(end, far, wire.vni, underlay)
  if (far !== undefined && tunnel === undefined) return false

  const isUp = ({ hostDevice }: WireAttachment): boolean =>
    observed.get(hostDevice)?.hasCarrier ?? false
  const goal = toWireGoal({ id, wire, part, plugged: part.ends, node, tunnel, isUp })
  return (
    isKnown(wire, part, goal, observed) &&
    isReported(wire, part, goal, node) &&
    isNothing(planWire(goal, observed, peers))
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

function isNothing({ steps, removals }: ReturnType<typeof planWire>): boolean {
  return steps.length === 0 && removals.length === 0
}
