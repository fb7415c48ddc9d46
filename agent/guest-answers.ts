// What the guests of this node's VM ends are shown, as far as it is known.
import type { WireAttachment } from '../core/attachment.ts'
import { isVmEnd } from '../core/guest-carrier.ts'
import { toAttachmentKey, type CarrierShown, type GuestReport } from '../core/wire.ts'
import type { Node } from './node.ts'

/** By attachment: of those whose guest is to be told. */
const answers = new WeakMap<Node, Map<string, CarrierShown>>()

/** False when that was known. */
export function noteAnswer(node: Node, key: string, answer: CarrierShown): boolean {
  const known = answers.get(node) ?? new Map<string, CarrierShown>()
  answers.set(node, known)
  const before = known.get(key)
  known.set(key, answer)
  return before?.reason !== answer.reason || before.message !== answer.message
}

export function forgetAnswer(node: Node, key: string): void {
  answers.get(node)?.delete(key)
}

/** For a report; while one is still being asked, what was reported of it before stands. */
export function listGuests(
  node: Node,
  ends: readonly WireAttachment[],
  before: readonly GuestReport[] = [],
): readonly GuestReport[] {
  return ends.filter(isVmEnd).flatMap((attachment) => {
    const end = toAttachmentKey(attachment)
    const known = findUntold(node, attachment) ?? answers.get(node)?.get(end)
    const answer = known ?? before.find((guest) => guest.end === end)
    return answer === undefined ? [] : [{ end, ...answer }]
  })
}

/** Why nobody is to be told at all. */
export function findUntold(node: Node, { carrier }: WireAttachment): CarrierShown | undefined {
  if (carrier !== 'vm')
    return { reason: 'NotAsked', message: 'its network does not say "carrier": "vm"' }
  if (node.cluster === undefined)
    return {
      reason: 'NoCluster',
      message: 'without the Kubernetes API there is no VirtualMachine to change',
    }
  return undefined
}
