// CHECK of type l2wire: pod end, host end and join are as ADD left them.
import { findMissing, NO_ADDRESSING } from '../core/addressing.ts'
import type { WireAttachment } from '../core/attachment.ts'
import { pickListed } from '../core/cni/ipam.ts'
import { findListed } from '../core/cni/result.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { holdsEnd, toWireKey } from '../core/wire.ts'
import { toWirePart } from '../core/wire-part.ts'
import { listPodLinks, observeLinks, readRedirects } from '../kernel/links.ts'
import { observeAddressing } from '../kernel/addresses.ts'
import type { Node } from './node.ts'
import { readOwnerUp } from './owner.ts'

type Json = Readonly<Record<string, unknown>>

/** prevResult is what the ADD ended in, behind all plugins of the chain. Throws CniError 105, which says what differs. */
export async function checkWire(
  node: Node,
  attachment: WireAttachment,
  prevResult: Json,
): Promise<void> {
  const fault =
    (await findPodFault(node, attachment, prevResult)) ??
    (await findAddressFault(node, attachment, prevResult)) ??
    (await findJoinFault(node, attachment))
  if (fault === undefined) return
  throw new CniError(
    CNI_CODE.CHECK_FAILED,
    `Cannot confirm "${attachment.ifname}" of wire "${toWireKey(attachment.wire)}": ${fault}`,
  )
}

async function findPodFault(
  node: Node,
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

async function findAddressFault(
  node: Node,
  { addressing, netns, ifname }: WireAttachment,
  prevResult: Json,
): Promise<string | undefined> {
  const wanted = pickListed(addressing ?? NO_ADDRESSING, prevResult)
  if (wanted.ips.length === 0 && wanted.routes.length === 0) return undefined
  return findMissing(wanted, await observeAddressing(node.run, netns.path, ifname))
}

async function findJoinFault(node: Node, end: WireAttachment): Promise<string | undefined> {
  const wire = await node.store.read(end.wire)
  const { ends } = toWirePart(wire, node.state.listOf(end.wire), node.name)
  const observed = await observeLinks(ends.map(({ hostDevice }) => hostDevice))
  if (!observed.has(end.hostDevice) || !holdsEnd(wire, end))
    return `its host end "${end.hostDevice}" is gone, or no longer the live one`
  // A far end whose devices are gone is that end's trouble: ours has no cable, as before its ADD.
  const far = ends.find((one) => one.hostDevice !== end.hostDevice)
  if (far === undefined || !observed.has(far.hostDevice) || wire?.isUnplugged === true)
    return undefined
  for (const [from, to] of [
    [end, far],
    [far, end],
  ] as const) {
    // An end whose far owner has its interface down has no carrier.
    const isWanted = await readOwnerUp(node.run, node.owners, to, observed)
    if (isWanted && observed.get(from.hostDevice)?.isUp === false)
      return `its wire's host end "${from.hostDevice}" is down, expected it up`
    const targets = await readRedirects(node.run, undefined, from.hostDevice)
    if (targets.join() !== to.hostDevice)
      return `its wire's host end "${from.hostDevice}" leads to "${targets.join()}", expected "${to.hostDevice}"`
  }
  return undefined
}
