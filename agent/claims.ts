// Who holds the ends of a wire, as the store has it: claimed by an ADD, given back by a DEL, taken from
// sandboxes that are no more.
import { toClaim, type WireAttachment } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toHostDeviceName } from '../core/name.ts'
import { toClaimAddress } from '../core/tunnel.ts'
import {
  claimEnd,
  evictEnd,
  findDisplaced,
  restoreEnd,
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import { isGone } from './liveness.ts'
import type { Node } from './node.ts'

/** Claims the end and returns the claims it took over. Throws CniError 101 when two living others hold it. */
export async function claim(node: Node, attachment: WireAttachment): Promise<readonly EndClaim[]> {
  try {
    return await tryClaim(node, attachment)
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== CNI_CODE.WIRE_FULL) throw error
    // Only holders that still exist keep a third one out.
    const wire = await node.store.read(attachment.wire)
    const gone: EndClaim[] = []
    for (const end of wire?.ends ?? [])
      if (await isHolderGone(node, attachment.wire, end)) gone.push(end)
    if (gone.length === 0) throw error
    node.log.warn(
      { gone, wire: toWireKey(attachment.wire) },
      'ends whose sandboxes are gone are freed',
    )
    await node.store.update(attachment.wire, (current) =>
      gone.reduce<Wire | undefined>((left, end) => evictEnd(left, end, node.name), current),
    )
    return tryClaim(node, attachment)
  }
}

async function tryClaim(node: Node, attachment: WireAttachment): Promise<readonly EndClaim[]> {
  const claimed = toClaim(attachment, toClaimAddress(node.underlay))
  let displaced: readonly EndClaim[] = []
  await node.store.update(attachment.wire, (wire) => {
    displaced = findDisplaced(wire, claimed)
    return claimEnd(wire, attachment.wire, claimed)
  })
  return displaced
}

async function isHolderGone(node: Node, id: WireId, end: EndClaim): Promise<boolean> {
  if (end.node === node.name) return isClaimEmpty(node, end)
  // Another node's sandbox: its pod's object is all there is to ask.
  if (node.cluster === undefined || end.pod === undefined) return false
  const pod = await node.cluster.findPod(id.namespace, end.pod)
  // One of that name on another node is another pod, whose own claim takes the end over.
  return pod === undefined || (pod.node !== undefined && pod.node !== end.node)
}

/** Whether nothing stands behind a claim for this node any more. */
export async function isClaimEmpty(node: Node, end: EndClaim): Promise<boolean> {
  const attachment = node.state.find(end)
  if (attachment !== undefined) return isGone(attachment)
  // Where two agents use one node name the other one's claims look like this.
  if (end.address !== toClaimAddress(node.underlay)) return false
  const device = toHostDeviceName(end.containerID, end.ifname)
  return !(await observeLinks([device])).has(device)
}

/** A newer sandbox that failed must not have cost the older one its cable. */
export async function restoreClaims(
  node: Node,
  id: WireId,
  claims: readonly EndClaim[],
): Promise<void> {
  // An older sandbox that was deleted meanwhile needs none: its DEL was the last word about it.
  const living = claims.filter((end) => {
    const phase = node.state.find(end)?.phase
    return end.node !== node.name || phase === 'ready' || phase === 'released'
  })
  if (living.length === 0) return
  await node.store.update(id, (wire) =>
    living.reduce<Wire | undefined>((restored, end) => restoreEnd(restored, id, end), wire),
  )
}

/** Claims anew what somebody emptied, and tells whether there is any more of it now. */
export async function reclaim(
  node: Node,
  attachments: readonly WireAttachment[],
): Promise<boolean> {
  let isChanged = false
  for (const attachment of attachments) {
    const { wire } = attachment
    if (!(await isWanted(node, attachment))) continue
    try {
      await node.store.update(wire, (current) =>
        claimEnd(current, wire, toClaim(attachment, toClaimAddress(node.underlay))),
      )
      isChanged = true
      node.log.warn(
        { end: toAttachmentKey(attachment), wire: toWireKey(wire) },
        'a claim was lost, it is made again',
      )
    } catch (error) {
      // Somebody else was quicker, or the namespace takes nothing new.
      if (!(error instanceof CniError) || error.code === CNI_CODE.TRY_AGAIN_LATER) throw error
      node.log.warn({ reason: error.message }, 'a lost claim cannot be made again')
    }
  }
  return isChanged
}

// A pod that is being deleted, with its namespace perhaps, needs its end no more; nor does one whose
// name another pod has by now.
async function isWanted(node: Node, { wire, pod, subjects }: WireAttachment): Promise<boolean> {
  if (node.cluster === undefined || pod === undefined) return true
  const found = await node.cluster.findPod(wire.namespace, pod)
  const uid = subjects?.find(({ kind }) => kind === 'Pod')?.uid
  return found !== undefined && !found.isLeaving && (uid === undefined || uid === found.uid)
}
