// ADD and CHECK of type l2wire, and how an end is unplugged. An ADD makes its own devices first,
// since most that can fail fails there and touches nobody; then it claims the end and joins it.
import { withNextHops } from '../core/addressing.ts'
import { toClaim, toWireAttachment, type WireAttachment } from '../core/attachment.ts'
import type { WireConfig } from '../core/cni/config.ts'
import { decodePodRef, type CniArgs } from '../core/cni/env.ts'
import type { IpamResult } from '../core/cni/ipam.ts'
import type { Added, CniInterface } from '../core/cni/result.ts'
import { CNI_CODE, CniError, CommandError, DecodeError } from '../core/errors.ts'
import type { PodOwner } from '../core/holder.ts'
import { toHostDeviceName, toTunnelDeviceName } from '../core/name.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { planDetach, planEnd, planUnplug, planWire } from '../core/plan.ts'
import {
  claimEnd,
  ENDS_PER_WIRE,
  findDisplaced,
  findFarEnd,
  holdsEnd,
  mayOpenTunnel,
  releaseEnd,
  restoreEnd,
  toWireKey,
  type EndClaim,
  type NodeReport,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { observeLinks } from '../kernel/links.ts'
import { openNetns } from '../kernel/netns.ts'
import { giveAddresses, NOTHING_GIVEN, type AskIpam } from './addresses.ts'
import { attach } from './attach.ts'
import { isGone } from './liveness.ts'
import type { Node } from './node.ts'
import { report, tell, toReport } from './report.ts'
import { dropTunnel, prepareTunnel } from './tunnel.ts'

export async function addWire(
  node: Node,
  args: CniArgs,
  config: WireConfig,
  askIpam: AskIpam,
): Promise<Added> {
  const netns = await openNetns(args.netns)
  const attachment = toWireAttachment(args, config, netns, node, await findOwner(node, args))
  const { wire, ifname, hostDevice } = attachment
  const onWire = async (action: () => Promise<void>): Promise<void> =>
    node.queue(toWireKey(wire), action)
  let displaced: readonly EndClaim[] = []
  let given: IpamResult = NOTHING_GIVEN
  await attach(node, {
    attachment,
    device: ifname,
    make: async () => {
      await onWire(async () => {
        const left = await observeLinks([hostDevice])
        await applySteps(node.run, node.classifier, planEnd(attachment, left))
        displaced = await claim(node, attachment)
        await detachClaims(node, displaced)
        await joinWire(node, wire)
      })
      // Not on the wire's time: who gives addresses may be the far end, still to be plugged.
      given = await giveAddresses(node, attachment, config, askIpam)
      return { ...attachment, addressing: withNextHops(given) }
    },
    takeBack: async () =>
      onWire(async () => {
        await unplug(node, attachment)
        await restoreClaims(node, wire, displaced)
      }),
    refused: async (notice) => tell(node, attachment, notice),
  })
  return {
    interfaces: describeLinks(attachment),
    addressing: given,
    dns: config.dns ?? given.dns,
  }
}

// CNI's bandwidth plugin looks for the host end in the result of who comes before it.
function describeLinks(attachment: WireAttachment): readonly CniInterface[] {
  const { ifname, mac, mtuBytes, hostDevice, maxFrameBytes, netns } = attachment
  return [
    { name: hostDevice, mtuBytes: maxFrameBytes },
    { name: ifname, mac, mtuBytes, sandbox: netns.path },
  ]
}

/**
 * Takes an end out, whatever of it there is; its document stays for the caller. An attachment that
 * does not hold its end (refused, or taken over by a newer sandbox) goes without touching the wire.
 */
export async function unplug(node: Node, attachment: WireAttachment): Promise<void> {
  let wire: Wire | undefined
  try {
    wire = await readWire(node, attachment.wire)
  } catch (error) {
    // A store out of reach: the devices go all the same, the claim when somebody asks again.
    await removeDevices(node, attachment, [])
    throw error
  }
  const others = holdsEnd(wire, attachment)
    ? (await listEnds(node, wire)).filter((end) => end.hostDevice !== attachment.hostDevice)
    : []
  await removeDevices(node, attachment, others)
  if (wire === undefined) return
  const left = await node.store.update(attachment.wire, (current) =>
    releaseEnd(current, attachment),
  )
  if (wire.tunnelNodes.includes(node.name)) await joinWire(node, attachment.wire)
  else if (left !== undefined && others.length > 0)
    report(node, attachment.wire, others, toReport(node, left, 'waiting'))
}

async function removeDevices(
  node: Node,
  attachment: WireAttachment,
  others: readonly WireAttachment[],
): Promise<void> {
  const devices = [attachment, ...others].map((end) => end.hostDevice)
  const steps = planUnplug(attachment, others, await observeLinks(devices))
  await applyRemoval(node.run, node.classifier, steps)
}

/** Brings this node's part of a wire to where it should be, and says how that went. */
export async function joinWire(node: Node, id: WireId): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const wire = await node.store.read(id)
    const ends = await listEnds(node, wire)
    const devices = ends.map((end) => end.hostDevice)
    const observed = await observeLinks([...devices, toTunnelDeviceName(toWireKey(id))])
    // An end whose devices died with its sandbox is unplugged, whatever its document says.
    const plugged = ends.filter((end) => observed.has(end.hostDevice))
    try {
      const state = await join(node, id, wire, plugged, observed)
      if (wire !== undefined && state !== undefined)
        report(node, id, plugged, toReport(node, wire, state))
      return
    } catch (error) {
      // The far end's sandbox may go away between our look and our step: look again.
      const still = await observeLinks(plugged.map(({ hostDevice }) => hostDevice))
      const isRace = error instanceof CommandError && still.size < plugged.length
      if (isRace && tries < JOIN_TRIES) continue
      if (wire !== undefined) report(node, id, plugged, toReport(node, wire, 'failed', error))
      throw error
    }
  }
}

const JOIN_TRIES = 3

async function join(
  node: Node,
  id: WireId,
  wire: Wire | undefined,
  plugged: readonly WireAttachment[],
  observed: ObservedLinks,
): Promise<NodeReport['state'] | undefined> {
  const [end] = plugged
  const far = plugged.length === 1 ? findFarEnd(wire, node.name) : undefined
  if (end !== undefined && far !== undefined) {
    // The far end's node is about to write the VNI: then there is something to say.
    if (!mayOpenTunnel(wire, node.name)) return undefined
    const tunnel = await prepareTunnel(node, end, far)
    await applySteps(node.run, node.classifier, planWire(plugged, observed, tunnel))
    return 'joined'
  }
  await dropTunnel(node, id, wire, observed)
  await applySteps(node.run, node.classifier, planWire(plugged, observed))
  return plugged.length === ENDS_PER_WIRE ? 'joined' : 'waiting'
}

/** This node's ends of a wire that have a document: the work grows with one wire's ends, not with wires. */
export async function listEnds(
  node: Node,
  wire: Wire | undefined,
): Promise<readonly WireAttachment[]> {
  const claims = (wire?.ends ?? []).filter((end) => end.node === node.name)
  const attachments = await Promise.all(claims.map(async (end) => readEnd(node, end)))
  return attachments.filter((attachment) => attachment !== undefined)
}

/** Claims the end and returns the claims it took over. Throws CniError 101 when two living others hold it. */
async function claim(node: Node, attachment: WireAttachment): Promise<readonly EndClaim[]> {
  try {
    return await tryClaim(node, attachment)
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== CNI_CODE.WIRE_FULL) throw error
    // Only holders that still exist keep a third one out.
    for (const end of await listEnds(node, await node.store.read(attachment.wire)))
      if (await isGone(end)) {
        node.log.warn({ end }, "an end's sandbox is gone, its claim is dropped")
        await unplug(node, end)
        await node.state.del(end)
      }
    return tryClaim(node, attachment)
  }
}

async function tryClaim(node: Node, attachment: WireAttachment): Promise<readonly EndClaim[]> {
  const claimed = toClaim(attachment, node.underlay?.address ?? '127.0.0.1')
  let displaced: readonly EndClaim[] = []
  await node.store.update(attachment.wire, (wire) => {
    displaced = findDisplaced(wire, claimed)
    return claimEnd(wire, attachment.wire, claimed)
  })
  return displaced
}

// The older sandbox of an end keeps its interface and loses the cable; its DEL is yet to come.
async function detachClaims(node: Node, claims: readonly EndClaim[]): Promise<void> {
  const devices = claims
    .filter((end) => end.node === node.name)
    .map((end) => toHostDeviceName(end.containerID, end.ifname))
  await applyRemoval(node.run, node.classifier, planDetach(devices))
}

// A newer sandbox that failed must not have cost the older one its cable.
async function restoreClaims(node: Node, id: WireId, claims: readonly EndClaim[]): Promise<void> {
  // An older sandbox that was deleted meanwhile needs none: its DEL was the last word about it.
  const living: EndClaim[] = []
  for (const end of claims)
    if (end.node !== node.name || (await node.state.get(end)) !== undefined) living.push(end)
  if (living.length === 0) return
  await node.store.update(id, (wire) =>
    living.reduce<Wire | undefined>((restored, end) => restoreEnd(restored, id, end), wire),
  )
  await joinWire(node, id)
}

async function readEnd(node: Node, end: EndClaim): Promise<WireAttachment | undefined> {
  try {
    const attachment = await node.state.get(end)
    return attachment?.kind === 'wire' ? attachment : undefined
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    node.log.error({ err: error, end }, 'cannot read an attachment, it counts as unplugged')
    return undefined
  }
}

async function findOwner(node: Node, args: CniArgs): Promise<PodOwner | undefined> {
  const { namespace, name } = decodePodRef(args.args)
  if (node.cluster === undefined || name === undefined) return undefined
  const owner = await node.cluster.findPodOwner(namespace, name)
  if (owner === undefined)
    node.log.warn({ namespace, pod: name }, 'a pod is gone already, its end is held by its name')
  return owner
}

// For unplugging: a wire whose document cannot be read must not keep a pod.
async function readWire(node: Node, id: WireId): Promise<Wire | undefined> {
  try {
    return await node.store.read(id)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    node.log.error({ err: error, wire: toWireKey(id) }, 'cannot read a wire, its claim stays')
    return undefined
  }
}
