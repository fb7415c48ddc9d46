// Who holds the ends of a wire, as the store has it: claimed by an ADD, given back by a DEL, taken from
// sandboxes that are no more.
import { toClaim, type WireAttachment } from '../../core/attach/attachment.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import { toClaimAddress } from '../../core/wire/tunnel.ts'
import { claimEnd, evictEnd, listTaken, standBy } from '../../core/wire/ends.ts'
import {
  toAttachmentKey,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import { observeLinks } from '../../kernel/observe/links.ts'
import { isGone } from '../liveness.ts'
import type { AgentContext } from '../context.ts'

/**
 * Claims the end; a migration's target stands by for it. Throws CniError 101 when two living others hold the ends.
 */
export async function claim(node: AgentContext, attachment: WireAttachment): Promise<void> {
  const { wire: id, isTarget = false } = attachment
  const claimed = toClaim(attachment, toClaimAddress(node.underlay))
  const tryClaim = async (): Promise<void> => {
    await node.store.update(id, (wire) => (isTarget ? standBy : claimEnd)(wire, id, claimed))
  }
  try {
    await tryClaim()
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== CNI_CODE.WIRE_FULL) throw error
    // Only holders that still exist keep a third one out.
    const wire = await node.store.read(id)
    const gone: EndClaim[] = []
    for (const end of listTaken(wire)) if (await isHolderGone(node, id, end)) gone.push(end)
    if (gone.length === 0) throw error
    node.log.warn({ gone, wire: toWireKey(id) }, 'ends whose sandboxes are gone are freed')
    await node.store.update(id, (current) =>
      gone.reduce<Wire | undefined>((left, end) => evictEnd(left, end, node.name), current),
    )
    await tryClaim()
  }
}

async function isHolderGone(node: AgentContext, id: WireId, end: EndClaim): Promise<boolean> {
  if (end.node === node.name) return isClaimEmpty(node, end)
  // Another node's sandbox: its pod's object is all there is to ask.
  if (node.cluster === undefined || end.pod === undefined) return false
  const pod = await node.cluster.findPod(id.namespace, end.pod)
  // One of that name on another node is another pod, whose own claim takes the end over.
  return pod === undefined || (pod.node !== undefined && pod.node !== end.node)
}

/** Whether nothing stands behind a claim for this node any more. */
export async function isClaimEmpty(node: AgentContext, end: EndClaim): Promise<boolean> {
  const attachment = node.state.find(end)
  if (attachment !== undefined) return isGone(attachment)
  // One with another address was made when the node had that one: to be careful, it stays.
  if (end.address !== toClaimAddress(node.underlay)) return false
  const device = toHostEndName(end.containerID, end.ifname)
  return !(await observeLinks([device])).has(device)
}

/** Claims anew what a newer sandbox has left, or somebody emptied, and tells whether there is any more of it now. */
export async function reclaim(
  node: AgentContext,
  attachments: readonly WireAttachment[],
): Promise<boolean> {
  let isChanged = false
  for (const attachment of attachments) {
    const { wire } = attachment
    if (!(await isWanted(node, attachment))) continue
    try {
      const claimed = toClaim(attachment, toClaimAddress(node.underlay))
      await node.store.update(wire, (current) =>
        (attachment.isTarget ? standBy : claimEnd)(current, wire, claimed),
      )
      isChanged = true
      if (attachment.phase === 'released') await node.state.put({ ...attachment, phase: 'ready' })
      node.log.warn(
        { end: toAttachmentKey(attachment), wire: toWireKey(wire) },
        attachment.isTarget
          ? "somebody removed the claim of a migration's target, it stands by again"
          : 'nobody has this end, it is claimed again',
      )
    } catch (error) {
      // Somebody else was quicker, or the namespace takes nothing new.
      if (!(error instanceof CniError) || error.code === CNI_CODE.TRY_AGAIN_LATER) throw error
      node.log.warn({ reason: error.message }, 'a lost claim cannot be made again')
    }
  }
  return isChanged
}

// A pod that is over, or being deleted, with its namespace perhaps, needs its end no more; nor does one whose
// name another pod has by now.
async function isWanted(
  node: AgentContext,
  { wire, pod, subjects }: WireAttachment,
): Promise<boolean> {
  if (node.cluster === undefined || pod === undefined) return true
  const found = await node.cluster.findPod(wire.namespace, pod)
  const uid = subjects?.find(({ kind }) => kind === 'Pod')?.uid
  const isLiving = found !== undefined && !found.isLeaving && !found.isOver
  return isLiving && (uid === undefined || uid === found.uid)
}
