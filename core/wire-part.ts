// A node's part of a wire: which of its attachments hold an end, which have lost theirs to a newer
// sandbox, and which should hold one and do not. Pure: from the wire's document and the node's own.
import type { WireAttachment } from './attachment.ts'
import { ENDS_PER_WIRE, toAttachmentKey, type EndClaim, type Wire } from './wire.ts'

export interface WirePart {
  /** They hold their ends. */
  readonly ends: readonly WireAttachment[]
  /** A newer sandbox has their end: they lead nowhere, and never claim again. */
  readonly lost: readonly WireAttachment[]
  /** Nobody has their end, though they never gave it back: a document that was emptied by hand. */
  readonly unclaimed: readonly WireAttachment[]
  /** Both ends are others': they lead nowhere until one is free. */
  readonly shutOut: readonly WireAttachment[]
  /** Claims for this node without an attachment. */
  readonly strays: readonly EndClaim[]
}

/** The attachments are all that the node has of this wire. */
export function toWirePart(
  wire: Wire | undefined,
  attachments: readonly WireAttachment[],
  node: string,
): WirePart {
  const claims = wire?.ends ?? []
  const held = new Set(claims.map(toAttachmentKey))
  const displaced = new Set((wire?.displaced ?? []).map(toAttachmentKey))
  const isTaken = ({ holder, ifname }: WireAttachment): boolean =>
    claims.some((end) => end.holder === holder && end.ifname === ifname)
  // One that has been deleted is its verb's to settle.
  const rest = attachments.filter(
    (one) => !held.has(toAttachmentKey(one)) && one.phase !== 'leaving',
  )
  const isLost = (one: WireAttachment): boolean =>
    one.phase === 'released' || displaced.has(toAttachmentKey(one)) || isTaken(one)
  // So is one that is being added and makes its claim in a moment; where a newer one has its end, it must
  // not go on sending meanwhile.
  const orphans = rest.filter((one) => one.phase !== 'adding' && !isLost(one))
  const free = Math.max(0, ENDS_PER_WIRE - claims.length)
  const known = new Set(attachments.map(toAttachmentKey))
  return {
    ends: attachments.filter((one) => held.has(toAttachmentKey(one))),
    lost: rest.filter(isLost),
    unclaimed: orphans.slice(0, free),
    shutOut: orphans.slice(free),
    strays: claims.filter((end) => end.node === node && !known.has(toAttachmentKey(end))),
  }
}
