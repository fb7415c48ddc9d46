// An end whose devices somebody deleted, with its sandbox living on, is made again: same names, MAC, MTU
// and addresses.
import { needsIpv6, planAddressing } from '../../core/steps/addressing.ts'
import { isOfVm, type WireAttachment } from '../../core/attach/attachment.ts'
import type { ObservedLinks } from '../../core/observe/links.ts'
import { planEnd } from '../../core/wire/plan.ts'
import { toAttachmentKey, toWireKey } from '../../core/wire/wire.ts'
import { applySteps } from '../../kernel/apply.ts'
import { enableIpv6 } from '../../kernel/ipv6.ts'
import { listTapsOn, rejoinTaps } from '../attach/mend-tap.ts'
import type { AgentContext } from '../context.ts'

/** Runs under the wire's queue. Throws CommandError where the sandbox refuses it. */
export async function rebuildEnd(
  node: AgentContext,
  end: WireAttachment,
  observed: ObservedLinks,
): Promise<void> {
  const facts = { end: toAttachmentKey(end), wire: toWireKey(end.wire) }
  node.log.warn(facts, 'the devices of an end are gone, they are made again')
  node.podEndStates.delete(end.hostDevice)
  const taps = listTapsOn(node, end)
  const isTaken = taps.length > 0 || isOfVm(end)
  await applySteps(node.run, node.classifier, planEnd(end, observed, isTaken))
  const { addressing, netns, ifname } = end
  if (addressing !== undefined) {
    if (needsIpv6(addressing)) await enableIpv6(node.run, node.netSysctls, netns.path, ifname)
    const steps = planAddressing(netns.path, ifname, addressing)
    await applySteps(node.run, node.classifier, steps)
  }
  await rejoinTaps(node, taps)
}
