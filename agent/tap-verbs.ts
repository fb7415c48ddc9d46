// ADD and CHECK of type l2wire-bind, and how a tap is taken away: a tap for QEMU, joined to whatever
// pod link the VMI network has, ours or another CNI plugin's.
import { toTapAttachment, type TapAttachment, type WireAttachment } from '../core/attachment.ts'
import type { BindConfig } from '../core/cni/bind-config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import { renderMark } from '../core/domain/tap-alias.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { findLostAddress, toToldMtu } from '../core/lease.ts'
import { isMacvtap } from '../core/plan-macvtap.ts'
import { listTargets, planUntap } from '../core/plan-tap.ts'
import { findSecondaryLink, getPodLink, type PodLink, type VmiNetwork } from '../core/pod-link.ts'
import type { Step } from '../core/step.ts'
import { listAddresses, listDefaultDevices, observeAddressing } from '../kernel/addresses.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { listPodLinks, readMuteFault, readRedirects } from '../kernel/links.ts'
import { isSameNetns, openNetns } from '../kernel/netns.ts'
import { attach } from './attach.ts'
import { explainAddFailure } from './explain.ts'
import { readNicWish } from './launcher.ts'
import { readLease } from './lease.ts'
import { removeLeftovers } from './leftover-tap.ts'
import { findMacvtapFault, toMacvtapAttachment, unmakeMacvtap, withMacvtapTurn } from './macvtap.ts'
import { makeTap } from './mend-tap.ts'
import type { Node } from './node.ts'

export async function addTap(node: Node, args: CniArgs, config: BindConfig): Promise<void> {
  const netns = await openNetns(args.netns)
  // Taps of one sandbox are made one after the other: they look at the same list of links.
  const queueKey = `sandbox ${args.containerID}`
  await node.queue(queueKey, async () => {
    const explain = async <T>(look: Promise<T>): Promise<T> => explainLook(node, args, look)
    const links = await explain(listPodLinks(node.run, args.netns))
    const wish = await readNicWish(node, args, config)
    const network = { name: config.logicNetworkName, isPrimary: wish.isPrimary }
    const podLink = await explain(choosePodLink(node, args, network, links))
    // The wire's own pod link: the VM is told the advertised MTU, the link carries all of maxFrame.
    const wire = await node.state.get({ containerID: args.containerID, ifname: podLink.name })
    const wireEnd = wire?.kind === 'wire' ? wire : undefined
    if (wireEnd?.isRenewed) refuseRenewed(wireEnd)
    const linkMtuBytes = wireEnd?.mtuBytes ?? podLink.mtuBytes
    // A cable without addresses has nothing to say anyhow; whatever else has an identity that is the VM's now.
    const isMuted = wireEnd === undefined || (wireEnd.addressing?.ips.length ?? 0) > 0
    const addressing = isMuted
      ? await explain(observeAddressing(node.run, args.netns, podLink.name))
      : undefined
    const mtuBytes = addressing === undefined ? linkMtuBytes : toToldMtu(linkMtuBytes, addressing)
    const lease =
      addressing !== undefined && config.hasDhcp
        ? await explain(readLease(node, args.netns, { addressing, podLink, mtuBytes, wish }))
        : undefined
    const own = { podLink: podLink.name, mtuBytes, isMuted, lease }
    const wanted = toTapAttachment(args, config, netns, own, wish)
    refuseTaken(args.ifname, args, links)
    const left = await removeLeftovers(node, wanted, links)
    refuseTaken(wanted.tap, args, left)
    const add = async (attachment: TapAttachment): Promise<void> =>
      attach(node, {
        attachment,
        device: attachment.tap,
        queueKey,
        make: async () => {
          // Without a sidecar the guest is told the pod link's MTU, so that one stays as advertised.
          const maxFrameBytes = config.hasSidecar ? wireEnd?.maxFrameBytes : undefined
          await makeTap(node, attachment, { links: left, maxFrameBytes })
          if (wish.wantsNetworkData) await markForSidecar(node, attachment)
          if (lease !== undefined) await node.leaseServers.start(attachment)
          return attachment
        },
        takeBack: async () => untap(node, attachment),
      })
    if (config.attach === 'tap') await add(wanted)
    else
      await withMacvtapTurn(node, async () =>
        add(await toMacvtapAttachment(node, args, config, wanted, podLink)),
      )
  })
}

async function choosePodLink(
  node: Node,
  args: CniArgs,
  network: VmiNetwork,
  links: readonly PodLink[],
): Promise<PodLink> {
  return (
    findSecondaryLink(network, links) ??
    getPodLink(network, links, await listDefaultDevices(node.run, args.netns))
  )
}

/** For sidecar/facts.ts, which looks before KubeVirt tells the sidecar of its VM. */
async function markForSidecar(node: Node, { netns, tap, podLink }: TapAttachment): Promise<void> {
  const mark: Step = { op: 'set-link', netns: netns.path, dev: tap, alias: renderMark(podLink) }
  await applySteps(node.run, node.classifier, [mark])
}

/** Idempotent; a namespace that is gone took the tap with it. Its document stays for the caller. */
export async function untap(node: Node, attachment: TapAttachment): Promise<void> {
  await node.leaseServers.end(attachment)
  if (isMacvtap(attachment)) await unmakeMacvtap(node, attachment)
  else if (await isSameNetns(attachment.netns))
    await applyRemoval(node.run, node.classifier, planUntap(attachment))
}

/** Throws CniError 105 when the tap, its pod link or their join is not as ADD left it. */
export async function checkTap(node: Node, attachment: TapAttachment): Promise<void> {
  const isServed = attachment.lease === undefined || node.leaseServers.isRunning(attachment)
  const fault = isMacvtap(attachment)
    ? await findMacvtapFault(node, attachment)
    : await findTapFault(node, attachment)
  const { tap, netns, podLink, isMuted } = attachment
  const what =
    fault ??
    (isMuted ? await readMuteFault(node.run, netns.path, podLink, tap) : undefined) ??
    (isServed ? undefined : 'its DHCP server does not run, expected it to') ??
    (await findLeaseFault(node, attachment))
  if (what === undefined) return
  throw new CniError(CNI_CODE.CHECK_FAILED, `Cannot confirm "${tap}" in "${netns.path}": ${what}`)
}

// Whom somebody gave other addresses cannot be told: its guest asks when it likes. It needs a new pod.
async function findLeaseFault(
  node: Node,
  { lease, netns, podLink }: TapAttachment,
): Promise<string | undefined> {
  if (lease === undefined) return undefined
  const fault = findLostAddress(lease, await listAddresses(node.run, netns.path, podLink))
  return fault === undefined ? undefined : `of "${podLink}" ${fault}`
}

async function findTapFault(node: Node, attachment: TapAttachment): Promise<string | undefined> {
  const { tap, netns } = attachment
  const links = await listPodLinks(node.run, netns.path)
  for (const [name, wanted] of listTargets(attachment)) {
    const link = links.find((one) => one.name === name)
    if (link === undefined) return `"${name}" is gone, expected it there`
    if (!link.isUp) return `"${name}" is down, expected it up`
    const targets = await readRedirects(node.run, netns.path, name)
    if (targets.join() !== wanted.join())
      return `"${name}" leads to "${targets.join()}", expected "${wanted.join()}"`
  }
  const isMultiQueue = links.find(({ name }) => name === tap)?.isMultiQueue
  if (isMultiQueue !== (attachment.isMultiQueue ?? false))
    return `its multi_queue is ${isMultiQueue}, expected ${!isMultiQueue}: QEMU opens no other`
  return undefined
}

// Before anything is made: what fails there has nothing to take back.
async function explainLook<T>(node: Node, args: CniArgs, look: Promise<T>): Promise<T> {
  try {
    return await look
  } catch (error) {
    throw await explainAddFailure(node, args.netns, args.ifname, error)
  }
}

// What it asks for to keep the addresses would be dropped, or a VM's identity used twice; without them it
// takes the link down.
function refuseRenewed({ ifname, network }: WireAttachment): never {
  throw new CniError(
    CNI_CODE.UNSUPPORTED_FIELD,
    `Cannot give "${ifname}" of network "${network}" to a VM: its "ipam.type" is "dhcp", whose client goes on asking in the VM's place, expected another IPAM plugin, or none: the VM can ask for itself`,
  )
}

function refuseTaken(name: string, args: CniArgs, links: readonly PodLink[]): void {
  if (links.every((link) => link.name !== name)) return
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${name}": an interface of this name is in "${args.netns}" already, expected a name not taken`,
  )
}
