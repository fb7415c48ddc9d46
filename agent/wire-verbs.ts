// ADD, DEL and CHECK of type l2wire. An ADD writes its intent on disk, claims the end, makes the
// devices, in that order; DEL goes the other way; a failed ADD takes back what it did.
import { toClaim, toWireAttachment, type WireAttachment } from '../core/attachment.ts'
import type { WireConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import type { CniInterface } from '../core/cni/result.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { toHostDeviceName } from '../core/name.ts'
import { planDetach, planUnplug, planWire } from '../core/plan.ts'
import {
  claimEnd,
  findDisplaced,
  holdsEnd,
  releaseEnd,
  toWireKey,
  type AttachmentId,
  type EndClaim,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { listPodLinks, observeLinks } from '../kernel/links.ts'
import { openNetns } from '../kernel/netns.ts'
import { explainAddFailure } from './explain.ts'
import type { Node } from './node.ts'

export async function addWire(
  node: Node,
  args: CniArgs,
  config: WireConfig,
): Promise<readonly CniInterface[]> {
  const netns = await openNetns(args.netns)
  const attachment = toWireAttachment(args, config, netns, node.name)
  return node.queue(toWireKey(attachment.wire), async () => {
    await refuseSecondAdd(node, attachment)
    await node.state.put(attachment)
    try {
      let displaced: readonly EndClaim[] = []
      await node.store.update(attachment.wire, (wire) => {
        displaced = findDisplaced(wire, toClaim(attachment))
        return claimEnd(wire, attachment.wire, toClaim(attachment))
      })
      await detachDisplaced(node, displaced)
      await joinWire(node, attachment.wire, attachment)
      await node.state.put({ ...attachment, phase: 'ready' })
    } catch (error) {
      await takeBack(node, attachment)
      throw await explainAddFailure(node, attachment.netns.path, attachment.ifname, error)
    }
    const { ifname, mac, mtuBytes } = attachment
    return [{ name: ifname, mac, mtuBytes, sandbox: args.netns }]
  })
}

/** Idempotent: what is not there is not missed. */
export async function delWire(node: Node, attachment: WireAttachment): Promise<void> {
  await node.queue(toWireKey(attachment.wire), async () => unplug(node, attachment))
}

/** Throws CniError 105 when the pod end, the host end or the join is not as ADD left it. */
export async function checkWire(node: Node, attachment: WireAttachment): Promise<void> {
  const { ifname, mac, mtuBytes, hostDevice, netns } = attachment
  const fail = (what: string): never => {
    throw new CniError(
      CNI_CODE.CHECK_FAILED,
      `Cannot confirm "${ifname}" of wire "${toWireKey(attachment.wire)}": ${what}`,
    )
  }
  const link = (await listPodLinks(node.run, netns.path)).find(({ name }) => name === ifname)
  if (link === undefined) return fail('the interface is not in the pod, expected it there')
  if (link.mac !== mac) fail(`its MAC is ${link.mac}, expected ${mac}`)
  // A launcher's pod link was widened to the wire's own size by the binding.
  if (link.mtuBytes !== mtuBytes && link.mtuBytes !== attachment.maxFrameBytes)
    fail(`its MTU is ${link.mtuBytes}, expected ${mtuBytes}`)
  const ends = await listLocalEnds(node, attachment.wire)
  const observed = await observeLinks(ends.map((end) => end.hostDevice))
  const host = observed.get(hostDevice)
  if (host === undefined) return fail(`its host end "${hostDevice}" is gone`)
  const isJoined = ends.length > 1
  if (isJoined && !host.isUp) fail(`its host end "${hostDevice}" is down, expected it up`)
}

/** Brings this node's ends of a wire to where they should be. */
export async function joinWire(
  node: Node,
  id: WireId,
  added: WireAttachment | undefined,
): Promise<void> {
  const ends = await listLocalEnds(node, id)
  const observed = await observeLinks(ends.map((end) => end.hostDevice))
  // An end whose devices died with its sandbox is unplugged, whatever its document says.
  const plugged = ends.filter(
    (end) => observed.has(end.hostDevice) || end.hostDevice === added?.hostDevice,
  )
  await applySteps(node.run, node.classifier, planWire(plugged, observed))
}

/**
 * Takes an end out, whatever of it there is. An attachment that does not hold its end (refused, or
 * taken over by a newer sandbox) goes without touching the wire.
 */
export async function unplug(node: Node, attachment: WireAttachment): Promise<void> {
  const wire = await node.store.read(attachment.wire)
  const others = holdsEnd(wire, attachment)
    ? (await listEnds(node, wire)).filter((end) => end.hostDevice !== attachment.hostDevice)
    : []
  const devices = [attachment, ...others].map((end) => end.hostDevice)
  const steps = planUnplug(attachment, others, await observeLinks(devices))
  await applyRemoval(node.run, node.classifier, steps)
  await node.store.update(attachment.wire, (wire) => releaseEnd(wire, attachment))
  await node.state.del(attachment)
}

// The older sandbox of an end keeps its interface and loses the cable; its DEL is yet to come.
async function detachDisplaced(node: Node, displaced: readonly EndClaim[]): Promise<void> {
  const devices = displaced
    .filter((claim) => claim.node === node.name)
    .map((claim) => toHostDeviceName(claim.containerID, claim.ifname))
  await applyRemoval(node.run, node.classifier, planDetach(devices))
}

async function takeBack(node: Node, attachment: WireAttachment): Promise<void> {
  try {
    await unplug(node, attachment)
  } catch (error) {
    // The intent stays on disk in phase "adding", so a DEL or the next start takes it back.
    node.log.error({ err: error, ...idOf(attachment) }, 'cannot take a failed ADD back yet')
  }
}

async function refuseSecondAdd(node: Node, attachment: WireAttachment): Promise<void> {
  const earlier = await node.state.get(attachment)
  if (earlier === undefined) return
  if (earlier.phase === 'adding' && earlier.kind === 'wire') return unplug(node, earlier)
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${attachment.ifname}": container "${attachment.containerID}" has this interface already, expected a new name or a DEL first`,
  )
}

// By the claims in the store: the work grows with the ends of one wire, not with the node's wires.
async function listLocalEnds(node: Node, id: WireId): Promise<readonly WireAttachment[]> {
  return listEnds(node, await node.store.read(id))
}

async function listEnds(node: Node, wire: Wire | undefined): Promise<readonly WireAttachment[]> {
  const claims = (wire?.ends ?? []).filter((end) => end.node === node.name)
  const attachments = await Promise.all(claims.map(async (end) => node.state.get(end)))
  return attachments.filter((attachment) => attachment?.kind === 'wire')
}

function idOf(id: AttachmentId): AttachmentId {
  return { containerID: id.containerID, ifname: id.ifname }
}
