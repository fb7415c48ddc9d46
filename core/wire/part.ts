// A node's part of a wire: which of its attachments hold an end, which have lost theirs to a newer
// sandbox, and which should hold one and do not. Pure: from the wire's document and the node's own.
import type { WireAttachment } from '../attach/attachment.ts'
import { listTaken } from './ends.ts'
import {
  ENDS_PER_WIRE,
  isSameEnd,
  toAttachmentKey,
  type AttachmentId,
  type EndClaim,
  type Wire,
} from './wire.ts'

export interface WirePart {
  /** They hold their ends. */
  readonly ends: readonly WireAttachment[]
  /** Of a migration's target: they lead nowhere until the guest runs there. */
  readonly targets: readonly WireAttachment[]
  /** A newer sandbox has their end: they lead nowhere while it does. */
  readonly lost: readonly WireAttachment[]
  /**
   * Nobody has their end, though they never gave it back: a newer sandbox went, or somebody emptied the document. And
   * migrations' targets that are to stand by again.
   */
  readonly unclaimed: readonly WireAttachment[]
  /** Both ends are others': they lead nowhere until one is free. */
  readonly shutOut: readonly WireAttachment[]
  /** Claims for this node without an attachment. */
  readonly orphans: readonly EndClaim[]
}

/** The attachments are all that the node has of this wire. */
export function toWirePart(
  wire: Wire | undefined,
  attachments: readonly WireAttachment[],
  node: string,
): WirePart {
  const claims = wire?.ends ?? []
  const standbys = wire?.standbys ?? []
  const held = toKeys(claims)
  const awaiting = toKeys(standbys.filter(({ isTarget }) => isTarget))
  const displaced = toKeys(wire?.displaced ?? [])
  const standing = toKeys(standbys)
  // One that has been deleted is its verb's to settle.
  const rest = attachments.filter((one) => {
    const key = toAttachmentKey(one)
    return !held.has(key) && !awaiting.has(key) && one.phase !== 'leaving'
  })
  const isTaken = (one: WireAttachment): boolean => claims.some((end) => isSameEnd(end, one))
  // What stands by has its end back once nobody has it: the newest before the older ones.
  const isNext = (one: WireAttachment): boolean => {
    const newest = standbys.findLast((standby) => !standby.isTarget && isSameEnd(standby, one))
    return newest !== undefined && toAttachmentKey(newest) === toAttachmentKey(one)
  }
  const isGivenUp = (one: WireAttachment): boolean => {
    const key = toAttachmentKey(one)
    if (standing.has(key)) return !isNext(one)
    return one.phase === 'released' || displaced.has(key)
  }
  const isLost = (one: WireAttachment): boolean =>
    one.isTarget === undefined && (isTaken(one) || isGivenUp(one))
  // So is one that is being added and makes its claim in a moment; where a newer one has its end, it must
  // not go on sending meanwhile.
  const orphans = rest.filter((one) => one.phase !== 'adding' && !isLost(one))
  const { unclaimed, shutOut } = share(orphans, listTaken(wire))
  const known = toKeys(attachments)
  const isUnknown = (claim: EndClaim): boolean =>
    claim.node === node && !known.has(toAttachmentKey(claim))
  return {
    ends: attachments.filter((one) => held.has(toAttachmentKey(one))),
    targets: attachments.filter(
      (one) => awaiting.has(toAttachmentKey(one)) && one.phase !== 'leaving',
    ),
    lost: rest.filter(isLost),
    unclaimed,
    shutOut,
    orphans: [...claims, ...standbys].filter(isUnknown),
  }
}

/** Whose ends are free, the first first, and who finds both places taken. */
function share(
  orphans: readonly WireAttachment[],
  taken: readonly Pick<EndClaim, 'holder' | 'ifname'>[],
): Pick<WirePart, 'unclaimed' | 'shutOut'> {
  const [unclaimed, shutOut]: [WireAttachment[], WireAttachment[]] = [[], []]
  const ends = [...taken]
  for (const one of orphans) {
    const isKept = ends.some((end) => isSameEnd(end, one))
    if (isKept || ends.length < ENDS_PER_WIRE) unclaimed.push(one)
    else shutOut.push(one)
    if (!isKept) ends.push(one)
  }
  return { unclaimed, shutOut }
}

function toKeys(ids: readonly AttachmentId[]): ReadonlySet<string> {
  return new Set(ids.map(toAttachmentKey))
}
