// CHECK of type l2wire: pod end, host end and join are as ADD left them.
import type { WireAttachment } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toWireKey } from '../core/wire.ts'
import { listPodLinks, observeLinks, readRedirects } from '../kernel/links.ts'
import type { Node } from './node.ts'
import { listEnds } from './wire-verbs.ts'

/** Throws CniError 105, which says what differs. */
export async function checkWire(node: Node, attachment: WireAttachment): Promise<void> {
  const fault = (await findPodFault(node, attachment)) ?? (await findJoinFault(node, attachment))
  if (fault === undefined) return
  throw new CniError(
    CNI_CODE.CHECK_FAILED,
    `Cannot confirm "${attachment.ifname}" of wire "${toWireKey(attachment.wire)}": ${fault}`,
  )
}

async function findPodFault(node: Node, end: WireAttachment): Promise<string | undefined> {
  const links = await listPodLinks(node.run, end.netns.path)
  const link = links.find(({ name }) => name === end.ifname)
  if (link === undefined) return 'the interface is not in the pod, expected it there'
  if (link.mac !== end.mac) return `its MAC is ${link.mac}, expected ${end.mac}`
  // A launcher's pod link was widened to the wire's own size by the binding.
  if (link.mtuBytes !== end.mtuBytes && link.mtuBytes !== end.maxFrameBytes)
    return `its MTU is ${link.mtuBytes}, expected ${end.mtuBytes}`
  return undefined
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
