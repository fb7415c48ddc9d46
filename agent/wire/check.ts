// CHECK of type l2wire: pod end, host end and join are as ADD left them.
import { findMissing, NO_ADDRESSING } from '../../core/steps/addressing.ts'
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { pickListed } from '../../core/cni/ipam.ts'
import { findListed } from '../../core/cni/result.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { listDifferences, renderDifferences } from '../../core/steps/words.ts'
import { holdsEnd, isTarget } from '../../core/wire/ends.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import { toWirePart } from '../../core/wire/part.ts'
import { listPodLinks } from '../../kernel/observe/links.ts'
import { observeAddressing } from '../../kernel/observe/addresses.ts'
import type { AgentContext } from '../context.ts'
import { diffWire } from './diff.ts'
import { observeWire } from './observe.ts'

type Json = Readonly<Record<string, unknown>>

/** prevResult is what the ADD ended in, behind all plugins of the chain. Throws CniError 105, which says what differs. */
export async function checkWire(
  node: AgentContext,
  attachment: WireAttachment,
  prevResult: Json,
): Promise<void> {
  const words =
    (await comparePod(node, attachment, prevResult)) ??
    (await compareAddress(node, attachment, prevResult)) ??
    (await compareJoin(node, attachment))
  if (words === undefined) return
  throw new CniError(
    CNI_CODE.CHECK_FAILED,
    `Cannot confirm "${attachment.ifname}" of wire "${toWireKey(attachment.wire)}": ${words}`,
  )
}

async function comparePod(
  node: AgentContext,
  end: WireAttachment,
  prevResult: Json,
): Promise<string | undefined> {
  const links = await listPodLinks(node.run, end.netns.path)
  const link = links.find(({ name }) => name === end.ifname)
  if (link === undefined) return 'the interface is not in the pod, expected it there'
  const listed = findListed(prevResult, end.ifname, end.netns.path)
  // A later plugin of the chain may have changed it (tuning, for one).
  const mac = listed?.mac ?? end.mac
  if (link.mac !== mac) return `its MAC is ${link.mac}, expected ${mac}`
  const { mtu } = listed ?? { mtu: end.mtuBytes }
  // A launcher's pod link was widened to the wire's own size by the binding.
  if (mtu !== undefined && link.mtuBytes !== mtu && link.mtuBytes !== end.maxFrameBytes)
    return `its MTU is ${link.mtuBytes}, expected ${mtu}`
  return undefined
}

async function compareAddress(
  node: AgentContext,
  { addressing, netns, ifname }: WireAttachment,
  prevResult: Json,
): Promise<string | undefined> {
  const wanted = pickListed(addressing ?? NO_ADDRESSING, prevResult)
  if (wanted.ips.length === 0 && wanted.routes.length === 0) return undefined
  return findMissing(wanted, await observeAddressing(node.run, netns.path, ifname))
}

async function compareJoin(node: AgentContext, end: WireAttachment): Promise<string | undefined> {
  return node.turns.wire(end.wire, async () => {
    const wire = await node.store.read(end.wire)
    const part = toWirePart(wire, node.state.listOf(end.wire), node.name)
    const observed = await observeWire(node, { id: end.wire, wire, part }, 'all')
    const isLive = holdsEnd(wire, end) || isTarget(wire, end)
    if (!observed.links.has(end.hostDevice) || !isLive)
      return `its host end "${end.hostDevice}" is gone, or no longer the live one`
    // A far end whose devices are gone is that end's finding: ours has no cable, as before its ADD.
    const { left } = await diffWire(node, end.wire, wire, observed)
    const words = renderDifferences(listDifferences(left, observed))
    return words === undefined ? undefined : `of its wire ${words}`
  })
}
