// Who holds an end of a wire, and who stands by for it: claim (a third end is refused), stand by, release. Pure: a store
// applies these changes to its document atomically.
import { CNI_CODE, CniError } from '../errors.ts'
import {
  describeEnd,
  ENDS_PER_WIRE,
  isSameEnd,
  newWire,
  orNothing,
  toAttachmentKey,
  toWireKey,
  type AttachmentId,
  type EndClaim,
  type StandbyClaim,
  type Wire,
  type WireId,
} from './wire.ts'

/**
 * The wire with this claim in it. A claim of the same (holder, NIC) by another sandbox takes its own
 * end over, and the older one stands by. Throws CniError 101 when two others hold the ends.
 */
export function claimEnd(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire {
  const others = expectRoom(wire, id, claim)
  const older = (wire?.ends ?? [])
    .filter((end) => isSameEnd(end, claim) && toAttachmentKey(end) !== toAttachmentKey(claim))
    .map((end): StandbyClaim => ({ ...end, isTarget: false }))
  return {
    ...(wire ?? newWire(id)),
    ends: [...others, claim],
    standbys: keepNewest([...without(wire?.standbys ?? [], claim), ...older]),
    displaced: without(wire?.displaced ?? [], claim),
  }
}

/** The wire with a migration's target standing by: whoever has the end keeps it. Throws CniError 101 as claimEnd does. */
export function standBy(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire {
  if (holdsEnd(wire, claim)) return claimEnd(wire, id, claim)
  expectRoom(wire, id, claim)
  const current = wire ?? newWire(id)
  return {
    ...current,
    standbys: keepNewest([...without(current.standbys, claim), { ...claim, isTarget: true }]),
    displaced: without(current.displaced, claim),
  }
}

/** As many stand by at most; a Deployment whose pods go without a word leaves one after the other. */
const STANDBYS_MOST = 16

function keepNewest(standbys: readonly StandbyClaim[]): readonly StandbyClaim[] {
  const older = standbys.filter(({ isTarget: awaits }) => !awaits)
  const excess = new Set(older.slice(0, Math.max(0, standbys.length - STANDBYS_MOST)))
  return standbys.filter((one) => !excess.has(one))
}

/** One claim for each end that somebody has, or that a migration's target waits for: that one may be nobody's yet. */
export function listTaken(wire: Wire | undefined): readonly EndClaim[] {
  const awaited = (wire?.standbys ?? []).filter((one) => one.isTarget)
  return [...(wire?.ends ?? []), ...awaited].filter(
    (one, at, all) => all.findIndex((other) => isSameEnd(other, one)) === at,
  )
}

/** The ends that are not the claim's own. */
function expectRoom(wire: Wire | undefined, id: WireId, claim: EndClaim): readonly EndClaim[] {
  const taken = listTaken(wire).filter((one) => !isSameEnd(one, claim))
  if (taken.length < ENDS_PER_WIRE)
    return (wire?.ends ?? []).filter((end) => !isSameEnd(end, claim))
  throw new CniError(
    CNI_CODE.WIRE_FULL,
    `Cannot plug ${describeEnd(claim)} into wire "${toWireKey(id)}": both ends are taken, by ${taken.map(describeEnd).join(' and ')}`,
  )
}

export function holdsEnd(wire: Wire | undefined, attachment: AttachmentId): boolean {
  return includes(wire?.ends ?? [], attachment)
}

/** Whether the attachment is a migration's target that waits for its end. */
export function isTarget(wire: Wire | undefined, attachment: AttachmentId): boolean {
  return includes(
    (wire?.standbys ?? []).filter((one) => one.isTarget),
    attachment,
  )
}

function includes(claims: readonly AttachmentId[], attachment: AttachmentId): boolean {
  return claims.some((one) => toAttachmentKey(one) === toAttachmentKey(attachment))
}

/** The wire without this attachment, or undefined when nothing is left. Releasing the unknown changes nothing. */
export function releaseEnd(wire: Wire | undefined, attachment: AttachmentId): Wire | undefined {
  if (wire === undefined) return undefined
  const isKnown = includes([...wire.ends, ...wire.standbys, ...wire.displaced], attachment)
  if (!isKnown) return wire
  const ends = without(wire.ends, attachment)
  const standbys = without(wire.standbys, attachment)
  return orNothing({ ...wire, ends, standbys, displaced: without(wire.displaced, attachment) })
}

/**
 * The wire with an end whose sandbox is gone freed; that sandbox's own node, where it is another, gets a note. What
 * stands by there is its own to give back.
 */
export function evictEnd(wire: Wire | undefined, gone: EndClaim, by: string): Wire | undefined {
  const { containerID, ifname, node } = gone
  if (node === by) return releaseEnd(wire, gone)
  if (wire === undefined || !holdsEnd(wire, gone)) return wire
  return orNothing({
    ...wire,
    ends: without(wire.ends, gone),
    displaced: [...wire.displaced, { containerID, ifname, node }],
  })
}

function without<T extends AttachmentId>(list: readonly T[], gone: AttachmentId): readonly T[] {
  return list.filter((one) => toAttachmentKey(one) !== toAttachmentKey(gone))
}

/** The wire with what has changed about an end; the same wire when it says so already. */
export function changeEnd(
  wire: Wire | undefined,
  attachment: AttachmentId,
  change: Partial<Pick<EndClaim, 'isUp' | 'address'>>,
): Wire | undefined {
  const key = toAttachmentKey(attachment)
  const { isUp, address } = change
  const isChange = (end: EndClaim): boolean =>
    toAttachmentKey(end) === key &&
    ((isUp !== undefined && end.isUp !== isUp) ||
      (address !== undefined && end.address !== address))
  if (wire === undefined || !wire.ends.some(isChange)) return wire
  return { ...wire, ends: wire.ends.map((end) => (isChange(end) ? { ...end, ...change } : end)) }
}

/** The wire without the note of who was displaced; an end that it has again stays. */
export function clearDisplaced(wire: Wire | undefined, attachment: AttachmentId): Wire | undefined {
  if (wire === undefined) return undefined
  const displaced = without(wire.displaced, attachment)
  return displaced.length === wire.displaced.length ? wire : orNothing({ ...wire, displaced })
}
