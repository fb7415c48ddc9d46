// ADD and CHECK of type l2wire-bind, and how a tap is taken away: a tap for QEMU, joined to whatever
// pod link the VMI network has, ours or another CNI plugin's.
import {
  toTapAttachment,
  type TapAttachment,
  type WireAttachment,
} from '../../core/attach/attachment.ts'
import type { BindConfig } from '../../core/cni/bind-config.ts'
import type { CniArgs } from '../../core/cni/env.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { findLostAddress, toToldMtu } from '../../core/podnetwork/vm-network.ts'
import { listDifferences, renderDifferences, type Difference } from '../../core/steps/words.ts'
import { isMacvtap } from '../../core/attach/macvtap-steps.ts'
import { planUntap } from '../../core/attach/tap.ts'
import { findSecondaryLink, getPodLink, type VmiNetwork } from '../../core/attach/pod-link.ts'
import type { ObservedLink } from '../../core/observe/links.ts'
import { findWrongQueues } from '../../core/attach/as-made.ts'
import {
  listAddresses,
  listDefaultDevices,
  observeAddressing,
} from '../../kernel/observe/addresses.ts'
import { applyRemoval } from '../../kernel/apply.ts'
import { listPodLinks } from '../../kernel/observe/links.ts'
import { isSameNetns, openNetns } from '../../kernel/netns.ts'
import { attach } from './attach.ts'
import { explainAddFailure } from './explain.ts'
import { readNicWish } from './launcher.ts'
import { expectKept } from '../podnetwork/migration-source.ts'
import { readVmNetwork } from '../podnetwork/vm-network.ts'
import { removeLeftovers } from './leftover-tap.ts'
import { findLostDevice, unmakeMacvtap, withMacvtap } from './macvtap.ts'
import { diffTap, makeTap, observeTap } from './mend-tap.ts'
import type { AgentContext } from '../context.ts'
import { tell } from '../wire/report.ts'

export async function addTap(node: AgentContext, args: CniArgs, config: BindConfig): Promise<void> {
  const netns = await openNetns(args.netns)
  // Taps of one sandbox are made one after the other: they look at the same list of links.
  await node.turns.sandbox(args.containerID, async () => {
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
    const hasSay = wireEnd === undefined || (wireEnd.addressing?.ips.length ?? 0) > 0
    const addressing = hasSay
      ? await explain(observeAddressing(node.run, args.netns, podLink.name))
      : undefined
    if (addressing !== undefined) await expectKept(node, { addressing, podLink, network, wish })
    const mtuBytes = addressing === undefined ? linkMtuBytes : toToldMtu(linkMtuBytes, addressing)
    const vmNetwork =
      addressing !== undefined && config.hasDhcp
        ? await explain(readVmNetwork(node, args.netns, { addressing, podLink, mtuBytes, wish }))
        : undefined
    // Without a sidecar the guest is told the pod link's MTU, so that one stays as advertised.
    const podLinkMtuBytes = config.hasSidecar ? wireEnd?.maxFrameBytes : wireEnd?.mtuBytes
    const own = { podLink: podLink.name, mtuBytes, podLinkMtuBytes, vmNetwork }
    const wanted = toTapAttachment(args, config, netns, own, wish)
    refuseTaken(args.ifname, args, links)
    const left = await removeLeftovers(node, wanted, links)
    refuseTaken(wanted.tap, args, left)
    const add = async (attachment: TapAttachment): Promise<void> =>
      attach(node, {
        attachment,
        device: attachment.tap,
        inTurn: async (action) => node.turns.sandbox(args.containerID, action),
        make: async () => {
          await makeTap(node, attachment)
          if (vmNetwork !== undefined) await node.dhcpServers.start(attachment)
          return attachment
        },
        takeBack: async () => untap(node, attachment),
      })
    if (config.attach === 'tap') await add(wanted)
    else await withMacvtap(node, args, config, { attachment: wanted, podLink }, add)
    // Not waited for: the runtime wants its answer.
    if (wish.warning !== undefined) void tell(node, wish.warning, wish.warning.notice)
  })
}

async function choosePodLink(
  node: AgentContext,
  args: CniArgs,
  network: VmiNetwork,
  links: readonly ObservedLink[],
): Promise<ObservedLink> {
  return (
    findSecondaryLink(network, links) ??
    getPodLink(network, links, await listDefaultDevices(node.run, args.netns))
  )
}

/** Idempotent; a namespace that is gone took the tap with it. Its document stays for the caller. */
export async function untap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  await node.dhcpServers.end(attachment)
  if (isMacvtap(attachment)) await unmakeMacvtap(node, attachment)
  else if (await isSameNetns(attachment.netns))
    await applyRemoval(node.run, node.classifier, planUntap(attachment))
}

/** Throws CniError 105 when the tap, its pod link or their join is not as ADD left it. */
export async function checkTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  const words = renderDifferences(await compareTap(node, attachment))
  if (words === undefined) return
  const { tap, netns } = attachment
  throw new CniError(CNI_CODE.CHECK_FAILED, `Cannot confirm "${tap}" in "${netns.path}": ${words}`)
}

const RESTART = 'start its virtual machine again'

/** What of a tap, its pod link or their join is not as ADD left it. Throws CommandError, DecodeError. */
export async function compareTap(
  node: AgentContext,
  attachment: TapAttachment,
): Promise<readonly Difference[]> {
  const isServed = attachment.lease === undefined || node.dhcpServers.isRunning(attachment)
  const seen = await observeTap(node, attachment)
  const queues = findWrongQueues(attachment, seen)
  const device = isMacvtap(attachment) ? await findLostDevice(node, attachment) : undefined
  const server = isServed ? undefined : 'its DHCP server does not run, expected it to'
  const differences = [
    ...toDifferences('tap-queues', queues, { remedy: RESTART }),
    ...listDifferences(diffTap(node, attachment, seen), seen).map((one) =>
      one.kind === 'device-gone' ? { ...one, remedy: RESTART } : one,
    ),
    ...toDifferences('device-gone', device, { remedy: RESTART }),
    ...toDifferences('no-dhcp', server),
  ]
  return differences.length > 0 ? differences : compareVmNetwork(node, attachment)
}

// Whom somebody gave other addresses cannot be told: its guest asks when it likes. It needs a new pod.
async function compareVmNetwork(
  node: AgentContext,
  { lease: vmNetwork, netns, podLink }: TapAttachment,
): Promise<readonly Difference[]> {
  if (vmNetwork === undefined) return []
  const words = findLostAddress(vmNetwork, await listAddresses(node.run, netns.path, podLink))
  const all = words === undefined ? undefined : `of "${podLink}" ${words}`
  return toDifferences('address-lost', all, { remedy: RESTART })
}

function toDifferences(
  kind: string,
  words: string | undefined,
  more: Pick<Difference, 'remedy'> = {},
): readonly Difference[] {
  return words === undefined ? [] : [{ kind, words, ...more }]
}

// Before anything is made: what fails there has nothing to take back.
async function explainLook<T>(node: AgentContext, args: CniArgs, look: Promise<T>): Promise<T> {
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

function refuseTaken(name: string, args: CniArgs, links: readonly ObservedLink[]): void {
  if (links.every((link) => link.name !== name)) return
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${name}": an interface of this name is in "${args.netns}" already, expected a name not taken`,
  )
}
