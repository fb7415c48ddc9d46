// ADD and CHECK of type l2wire, and how an end is unplugged. An ADD makes its own devices first,
// since most that can fail fails there and touches nobody; then it claims the end and joins it.
import { withNextHops } from '../../core/steps/addressing.ts'
import { isOfVm, toWireAttachment, type WireAttachment } from '../../core/attach/attachment.ts'
import type { WireConfig } from '../../core/cni/config.ts'
import { decodePodRef, type CniArgs } from '../../core/cni/env.ts'
import type { IpamResult } from '../../core/cni/ipam.ts'
import type { Added, CniInterface } from '../../core/cni/result.ts'
import { DecodeError } from '../../core/errors.ts'
import { expectOwnEnd, type PodOwner } from '../../core/wire/holder.ts'
import { toTunnelDeviceName } from '../../core/name.ts'
import { planEnd, planUnplug } from '../../core/wire/plan.ts'
import { holdsEnd, isTarget, releaseEnd } from '../../core/wire/ends.ts'
import { isSameEnd, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { toWirePart } from '../../core/wire/part.ts'
import { applyRemoval, applySteps } from '../../kernel/apply.ts'
import { observeLinks } from '../../kernel/observe/links.ts'
import { openNetns } from '../../kernel/netns.ts'
import { giveAddresses, NOTHING_GIVEN, type AskIpam } from '../attach/addresses.ts'
import { attach } from '../attach/attach.ts'
import { claim } from './claims.ts'
import type { AgentContext } from '../context.ts'
import { awaitGuest } from './guest-arrival.ts'
import { remember, unhear } from './heard.ts'
import { reconcileKnown, reconcileWire } from './reconcile.ts'
import { tell } from './report.ts'

export async function addWire(
  node: AgentContext,
  args: CniArgs,
  config: WireConfig,
  askIpam: AskIpam,
): Promise<Added> {
  const netns = await openNetns(args.netns)
  const owner = await findOwner(node, args, config)
  const awaitsGuest = node.cluster === undefined ? config.isTarget : (owner?.isTarget ?? false)
  const attachment: WireAttachment = {
    ...toWireAttachment(args, config, netns, node, owner),
    ...(awaitsGuest ? { isTarget: true } : {}),
  }
  const { wire, ifname, hostDevice } = attachment
  const onWire = async (action: () => Promise<void>): Promise<void> => node.turns.wire(wire, action)
  let given: IpamResult = NOTHING_GIVEN
  await attach(node, {
    attachment,
    device: ifname,
    make: async () => {
      await onWire(async () => {
        const left = await observeLinks([hostDevice])
        // What the kernel says of its making is no news.
        node.podEndStates.set(hostDevice, true)
        await applySteps(node.run, node.classifier, planEnd(attachment, left, isOfVm(attachment)))
        await claim(node, attachment)
        await reconcileWire(node, wire, 'uncached')
      })
      // Not on the wire's time: who gives addresses may be the far end, still to be plugged.
      given = await giveAddresses(node, attachment, config, askIpam)
      return { ...attachment, addressing: withNextHops(given) }
    },
    takeBack: async () => onWire(async () => unplug(node, attachment)),
    refused: async (notice) => tell(node, attachment, notice),
  })
  if (awaitsGuest) awaitGuest(node, attachment)
  await noteLoss(node, attachment)
  return {
    interfaces: describeLinks(attachment),
    addressing: given,
    dns: config.dns ?? given.dns,
  }
}

// A newer sandbox may have taken the end while addresses were waited for: only now can that be written
// down. What fails here the next look makes good.
async function noteLoss(node: AgentContext, attachment: WireAttachment): Promise<void> {
  const { wire } = attachment
  try {
    const now = await node.store.read(wire)
    if (holdsEnd(now, attachment) || isTarget(now, attachment)) return
    await node.turns.wire(wire, async () => reconcileWire(node, wire, 'uncached'))
  } catch (error) {
    node.log.error({ err: error, wire: toWireKey(wire) }, 'cannot look at a wire yet')
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
 * Takes an end out, whatever of it there is; its document stays for the caller. An older sandbox that stands by has it
 * again. An attachment that does not hold its end (refused, standing by, or taken over by a newer sandbox) goes without
 * touching the wire. Throws when the devices are gone and the store is still to be told.
 */
export async function unplug(node: AgentContext, attachment: WireAttachment): Promise<void> {
  node.podEndStates.delete(attachment.hostDevice)
  const wasHeard = unhear(node, attachment.wire, attachment)
  try {
    await takeOut(node, attachment)
  } catch (error) {
    if (wasHeard)
      // The other end leads to the source again, though the store knows of neither.
      await reconcileKnown(node, attachment.wire).catch((err: unknown) => {
        node.log.error({ err, wire: toWireKey(attachment.wire) }, 'cannot bring a wire back yet')
      })
    throw error
  }
}

async function takeOut(node: AgentContext, attachment: WireAttachment): Promise<void> {
  let wire: Wire | undefined
  try {
    wire = await readWire(node, attachment.wire)
  } catch (error) {
    // A store out of reach: the devices go all the same, the claim when somebody asks again.
    await removeDevices(node, attachment, [])
    throw error
  }
  const part = toWirePart(wire, node.state.listOf(attachment.wire), node.name)
  const others = holdsEnd(wire, attachment)
    ? part.ends.filter((end) => end.hostDevice !== attachment.hostDevice)
    : []
  await removeDevices(node, attachment, others)
  if (wire !== undefined) {
    const release = (current: Wire | undefined): Wire | undefined => releaseEnd(current, attachment)
    remember(node, attachment.wire, await node.store.update(attachment.wire, release))
  }
  const heirs = part.lost.filter((one) => isSameEnd(one, attachment))
  // A wire that was deleted under us has left its tunnel.
  const tunnel = toTunnelDeviceName(toWireKey(attachment.wire))
  const isConcerned =
    others.length > 0 || heirs.length > 0 || (wire?.tunnelNodes.includes(node.name) ?? false)
  if (isConcerned || (await observeLinks([tunnel])).has(tunnel))
    await reconcileWire(node, attachment.wire, 'uncached')
}

async function removeDevices(
  node: AgentContext,
  attachment: WireAttachment,
  others: readonly WireAttachment[],
): Promise<void> {
  const devices = [attachment, ...others].map((end) => end.hostDevice)
  const steps = planUnplug(attachment, others, await observeLinks(devices))
  for (const dev of devices) node.linkCache.forget(dev)
  await applyRemoval(node.run, node.classifier, steps)
  for (const { hostDevice } of others)
    await node.linkCache.note(hostDevice, { filters: [], vxlan: null })
}

/** Throws CniError 7 for an end that is somebody else's. Without a cluster whoever calls is root. */
async function findOwner(
  node: AgentContext,
  args: CniArgs,
  { end }: WireConfig,
): Promise<PodOwner | undefined> {
  if (node.cluster === undefined) return undefined
  const { namespace, name } = decodePodRef(args.args)
  const self = name === undefined ? `container/${args.containerID}` : `pod/${name}`
  const owner = name === undefined ? undefined : await node.cluster.findPodOwner(namespace, name)
  if (end !== undefined) expectOwnEnd(end, [...new Set([self, owner?.holder ?? self])])
  if (name === undefined) return undefined
  if (owner === undefined)
    node.log.warn({ namespace, pod: name }, 'a pod is gone already, its end is held by its name')
  return owner
}

// For unplugging: a wire whose document cannot be read must not keep a pod.
async function readWire(node: AgentContext, id: WireId): Promise<Wire | undefined> {
  try {
    return await node.store.read(id)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    node.log.error({ err: error, wire: toWireKey(id) }, 'cannot read a wire, its claim stays')
    return undefined
  }
}
