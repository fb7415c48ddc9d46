// ADD and CHECK of type l2wire, and how an end is unplugged. An ADD makes its own devices first,
// since most that can fail fails there and touches nobody; then it claims the end and joins it.
import { withNextHops } from '../core/addressing.ts'
import { toWireAttachment, type WireAttachment } from '../core/attachment.ts'
import type { WireConfig } from '../core/cni/config.ts'
import { decodePodRef, type CniArgs } from '../core/cni/env.ts'
import type { IpamResult } from '../core/cni/ipam.ts'
import type { Added, CniInterface } from '../core/cni/result.ts'
import { DecodeError } from '../core/errors.ts'
import type { PodOwner } from '../core/holder.ts'
import { toTunnelDeviceName } from '../core/name.ts'
import { planEnd, planUnplug } from '../core/plan.ts'
import {
  holdsEnd,
  releaseEnd,
  toWireKey,
  type EndClaim,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import { toWirePart } from '../core/wire-part.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { observeLinks } from '../kernel/links.ts'
import { openNetns } from '../kernel/netns.ts'
import { giveAddresses, NOTHING_GIVEN, type AskIpam } from './addresses.ts'
import { attach } from './attach.ts'
import { claim, restoreClaims } from './claims.ts'
import type { Node } from './node.ts'
import { reconcileWire } from './reconcile.ts'
import { tell } from './report.ts'

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
        // What the kernel says of its making is no news.
        node.owners.set(hostDevice, true)
        node.wantedUp.set(hostDevice, false)
        await applySteps(node.run, node.classifier, planEnd(attachment, left))
        displaced = await claim(node, attachment)
        await reconcileWire(node, wire, 'links')
      })
      // Not on the wire's time: who gives addresses may be the far end, still to be plugged.
      given = await giveAddresses(node, attachment, config, askIpam)
      return { ...attachment, addressing: withNextHops(given) }
    },
    takeBack: async () =>
      onWire(async () => {
        await unplug(node, attachment)
        await restoreClaims(node, wire, displaced)
        if (displaced.length > 0) await reconcileWire(node, wire, 'links')
      }),
    refused: async (notice) => tell(node, attachment, notice),
  })
  await noteLoss(node, attachment)
  return {
    interfaces: describeLinks(attachment),
    addressing: given,
    dns: config.dns ?? given.dns,
  }
}

// A newer sandbox may have taken the end while addresses were waited for: only now can that be written
// down. What fails here the next look makes good.
async function noteLoss(node: Node, attachment: WireAttachment): Promise<void> {
  const { wire } = attachment
  try {
    if (holdsEnd(await node.store.read(wire), attachment)) return
    await node.queue(toWireKey(wire), async () => reconcileWire(node, wire, 'links'))
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
 * Takes an end out, whatever of it there is; its document stays for the caller. An attachment that
 * does not hold its end (refused, or taken over by a newer sandbox) goes without touching the wire.
 * Throws when the devices are gone and the store is still to be told.
 */
export async function unplug(node: Node, attachment: WireAttachment): Promise<void> {
  node.owners.delete(attachment.hostDevice)
  node.wantedUp.delete(attachment.hostDevice)
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
  if (wire !== undefined)
    await node.store.update(attachment.wire, (current) => releaseEnd(current, attachment))
  // A wire that was deleted under us has left its tunnel.
  const tunnel = toTunnelDeviceName(toWireKey(attachment.wire))
  const isConcerned = others.length > 0 || (wire?.tunnelNodes.includes(node.name) ?? false)
  if (isConcerned || (await observeLinks([tunnel])).has(tunnel))
    await reconcileWire(node, attachment.wire, 'links')
}

async function removeDevices(
  node: Node,
  attachment: WireAttachment,
  others: readonly WireAttachment[],
): Promise<void> {
  const devices = [attachment, ...others].map((end) => end.hostDevice)
  const steps = planUnplug(attachment, others, await observeLinks(devices))
  for (const dev of devices) node.leads.forget(dev)
  await applyRemoval(node.run, node.classifier, steps)
  await node.leads.note(others.map(({ hostDevice }) => ({ dev: hostDevice, target: undefined })))
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
