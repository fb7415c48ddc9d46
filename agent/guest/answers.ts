// What the guests of this node's VM ends are shown, as far as it is known.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { findInstance } from '../../core/guest/carrier.ts'
import { toAttachmentKey, type CarrierShown, type GuestReport } from '../../core/wire/wire.ts'
import type { AgentContext } from '../context.ts'

/** False when that was known. */
export function noteAnswer(
  { carrierShown }: AgentContext,
  key: string,
  answer: CarrierShown,
): boolean {
  const before = carrierShown.get(key)
  carrierShown.set(key, answer)
  return before?.reason !== answer.reason || before.message !== answer.message
}

/** For a report; while one is still being asked, what was reported of it before stands. */
export function listGuests(
  node: AgentContext,
  ends: readonly WireAttachment[],
  before: readonly GuestReport[] = [],
): readonly GuestReport[] {
  const vmEnds = ends.filter((end) => findInstance(end) !== undefined)
  return vmEnds.flatMap((attachment) => {
    const end = toAttachmentKey(attachment)
    const known = findUntold(node, attachment) ?? node.carrierShown.get(end)
    const answer = known ?? before.find((guest) => guest.end === end)
    return answer === undefined ? [] : [{ end, ...answer }]
  })
}

/** Why nobody is to be told at all. */
export function findUntold(
  node: AgentContext,
  { carrier }: WireAttachment,
): CarrierShown | undefined {
  if (carrier !== 'vm')
    return { reason: 'NotAsked', message: 'its network does not say "carrier": "vm"' }
  if (node.cluster === undefined)
    return {
      reason: 'NoCluster',
      message: 'without the Kubernetes API there is no VirtualMachine to change',
    }
  return undefined
}
