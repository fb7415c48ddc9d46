// An end whose devices somebody deleted, with its sandbox living on, is made again: same names, MAC, MTU
// and addresses.
import { needsIpv6, planAddressing } from '../core/addressing.ts'
import type { WireAttachment } from '../core/attachment.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { planEnd } from '../core/plan.ts'
import { toAttachmentKey, toWireKey } from '../core/wire.ts'
import { applySteps } from '../kernel/apply.ts'
import { enableIpv6 } from '../kernel/ipv6.ts'
import { rejoinTaps } from './mend-tap.ts'
import type { Node } from './node.ts'

/** Runs under the wire's queue. Throws CommandError where the sandbox refuses it. */
export async function rebuildEnd(
  node: Node,
  end: WireAttachment,
  observed: ObservedLinks,
): Promise<void> {
  const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
  node.log.warn(facts, 'the devices of an end are gone, they are made again')
  node.owners.delete(end.hostDevice)
  await applySteps(node.run, node.classifier, planEnd(end, observed))
  const { addressing, netns, ifname } = end
  if (addressing !== undefined) {
    if (needsIpv6(addressing)) await enableIpv6(node.run, node.netSysctls, netns.path, ifname)
    const steps = planAddressing(netns.path, ifname, addressing)
    await applySteps(node.run, node.classifier, steps)
  }
  await rejoinTaps(node, end)
}
