// CHECK of type l2wire: pod end, host end and join are as ADD left them.
import { findMissing, NO_ADDRESSING } from '../core/addressing.ts'
import type { WireAttachment } from '../core/attachment.ts'
import { pickListed } from '../core/cni/ipam.ts'
import { findListed } from '../core/cni/result.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toWireKey } from '../core/wire.ts'
import { listPodLinks, observeLinks, readRedirects } from '../kernel/links.ts'
import { observeAddressing } from '../kernel/addresses.ts'
import type { Node } from './node.ts'
import { listEnds } from './wire-verbs.ts'

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
  const ends = await listEnds(node, await node.store.read(end.wire))
  const observed = await observeLinks(ends.map(({ hostDevice }) => hostDevice))
  const host = observed.get(end.hostDevice)
  if (host === undefined)
    return `its host end "${end.hostDevice}" is gone, or no longer the live one`
  // A far end whose devices are gone is that end's trouble: ours has no cable, as before its ADD.
  const far = ends.find((one) => one !== end && one.hostDevice !== end.hostDevice)
  if (far === undefined || !observed.has(far.hostDevice)) return undefined
  for (const [from, to] of [
    [end.hostDevice, far.hostDevice],
    [far.hostDevice, end.hostDevice],
  ] as const) {
    if (!observed.get(from)?.isUp) return `its wire's host end "${from}" is down, expected it up`
    const targets = await readRedirects(node.run, undefined, from)
    if (targets.join() !== to)
      return `its wire's host end "${from}" leads to "${targets.join()}", expected "${to}"`
  }
  return undefined
}
