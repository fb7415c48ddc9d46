// A wire and its two ends: who holds them, and the two changes there are, claim and release.
// Pure: a store applies these to its document atomically.
import { CNI_CODE, CniError } from './errors.ts'

export interface WireId {
  /** The pods' namespace. The same lab in another namespace has wires of its own. */
  readonly namespace: string
  readonly name: string
}

/** An attachment: a sandbox that holds an end. */
export interface AttachmentId {
  readonly containerID: string
  readonly ifname: string
}

export interface EndClaim extends AttachmentId {
  /** "vm/r1", "pod/h1", "container/<containerID>". */
  readonly holder: string
  readonly node: string
}

export interface Wire extends WireId {
  /** One or two; a wire without ends is not kept. */
  readonly ends: readonly EndClaim[]
}

export const ENDS_PER_WIRE = 2

export function toWireKey(id: WireId): string {
  return `${id.namespace}/${id.name}`
}

/** Unique, since a containerID holds no "@"; also a file name. */
export function toAttachmentKey(id: AttachmentId): string {
  return `${id.containerID}@${id.ifname}`
}

/** Who an end belongs to, for people: "pod/h1 eth1". */
export function describeEnd(claim: EndClaim): string {
  return `${claim.holder} ${claim.ifname}`
}

/**
 * The wire with this claim in it. A claim of the same (holder, NIC) by another sandbox takes its own
 * end over. Throws CniError 101 when two others hold the ends.
 */
export function claimEnd(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire {
  const others = (wire?.ends ?? []).filter((end) => !isSameEnd(end, claim))
  if (others.length >= ENDS_PER_WIRE) {
    throw new CniError(
      CNI_CODE.WIRE_FULL,
      `Cannot plug ${describeEnd(claim)} into wire "${toWireKey(id)}": both ends are taken, by ${others.map(describeEnd).join(' and ')}`,
    )
  }
  return { namespace: id.namespace, name: id.name, ends: [...others, claim] }
}

/** The claims that this one takes over: the same end, held by an older sandbox. */
export function findDisplaced(wire: Wire | undefined, claim: EndClaim): readonly EndClaim[] {
  return (wire?.ends ?? []).filter(
    (end) => isSameEnd(end, claim) && toAttachmentKey(end) !== toAttachmentKey(claim),
  )
}

export function holdsEnd(wire: Wire | undefined, attachment: AttachmentId): boolean {
  return (wire?.ends ?? []).some((end) => toAttachmentKey(end) === toAttachmentKey(attachment))
}

/** The wire with an earlier claim back in its place, where that is still free. */
export function restoreEnd(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire | undefined {
  const ends = wire?.ends ?? []
  const isFree = ends.length < ENDS_PER_WIRE && !ends.some((end) => isSameEnd(end, claim))
  return isFree ? { namespace: id.namespace, name: id.name, ends: [...ends, claim] } : wire
}

/** The wire without this attachment, or undefined when no end is left. Releasing the unknown changes nothing. */
export function releaseEnd(wire: Wire | undefined, attachment: AttachmentId): Wire | undefined {
  if (wire === undefined) return undefined
  const ends = wire.ends.filter((end) => toAttachmentKey(end) !== toAttachmentKey(attachment))
  if (ends.length === wire.ends.length) return wire
  return ends.length === 0 ? undefined : { ...wire, ends }
}

function isSameEnd(a: EndClaim, b: EndClaim): boolean {
  return a.holder === b.holder && a.ifname === b.ifname
}
