// ADD, DEL and CHECK of type l2wire-bind: a tap for QEMU, joined to whatever pod link the VMI network
// has, ours or another CNI plugin's.
import { toTapAttachment, type TapAttachment } from '../core/attachment.ts'
import type { BindConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import { CNI_CODE, CniError, CommandError } from '../core/errors.ts'
import { planTap, planUntap } from '../core/plan.ts'
import { getPodLink, type PodLink } from '../core/pod-link.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import { listPodLinks } from '../kernel/links.ts'
import { isSameNetns, openNetns } from '../kernel/netns.ts'
import { explainAddFailure } from './explain.ts'
import type { Node } from './node.ts'

export async function addTap(node: Node, args: CniArgs, config: BindConfig): Promise<void> {
  const netns = await openNetns(args.netns)
  return node.queue(toSandboxKey(args), async () => {
    const links = await listLinks(node, args)
    const podLink = getPodLink(config.logicNetworkName, links)
    // The wire's own pod link: the VM is told the advertised MTU, the link carries all of maxFrame.
    const wire = await node.state.get({ containerID: args.containerID, ifname: podLink.name })
    const wireEnd = wire?.kind === 'wire' ? wire : undefined
    const mtuBytes = wireEnd?.mtuBytes ?? podLink.mtuBytes
    const attachment = toTapAttachment(args, config, netns, podLink.name, mtuBytes)
    refuseTaken(args.ifname, args, links)
    refuseTaken(attachment.tap, args, links)
    await node.state.put(attachment)
    try {
      const steps = planTap(attachment, wireEnd?.maxFrameBytes)
      await applySteps(node.run, node.classifier, steps)
      await node.state.put({ ...attachment, phase: 'ready' })
    } catch (error) {
      await takeBack(node, attachment)
      throw await explainAddFailure(node, args.netns, attachment.tap, error)
    }
  })
}

/** Idempotent; a namespace that is gone took the tap with it. */
export async function delTap(node: Node, attachment: TapAttachment): Promise<void> {
  await node.queue(toSandboxKey(attachment), async () => untap(node, attachment))
}

export async function untap(node: Node, attachment: TapAttachment): Promise<void> {
  if (await isSameNetns(attachment.netns))
    await applyRemoval(node.run, node.classifier, planUntap(attachment))
  await node.state.del(attachment)
}

/** Throws CniError 105 when the tap or its pod link is gone. */
export async function checkTap(node: Node, attachment: TapAttachment): Promise<void> {
  const links = await listPodLinks(node.run, attachment.netns.path)
  for (const name of [attachment.tap, attachment.podLink]) {
    const link = links.find((candidate) => candidate.name === name)
    if (link?.isUp) continue
    const state = link === undefined ? 'gone' : 'down'
    throw new CniError(
      CNI_CODE.CHECK_FAILED,
      `Cannot confirm "${attachment.tap}": "${name}" is ${state} in "${attachment.netns.path}", expected it up`,
    )
  }
}

async function listLinks(node: Node, args: CniArgs): Promise<readonly PodLink[]> {
  try {
    return await listPodLinks(node.run, args.netns)
  } catch (error) {
    throw await explainAddFailure(node, args.netns, args.ifname, error)
  }
}

async function takeBack(node: Node, attachment: TapAttachment): Promise<void> {
  try {
    await untap(node, attachment)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    // The intent stays on disk in phase "adding", so a DEL or the next start takes it back.
    node.log.error({ err: error, tap: attachment.tap }, 'cannot take a failed ADD back yet')
  }
}

function refuseTaken(name: string, args: CniArgs, links: readonly PodLink[]): void {
  if (links.every((link) => link.name !== name)) return
  throw new CniError(
    CNI_CODE.IFNAME_TAKEN,
    `Cannot add "${name}": an interface of this name is in "${args.netns}" already, expected a name not taken`,
  )
}

// Taps of one sandbox are made one after the other: they look at the same list of links.
function toSandboxKey(id: { readonly containerID: string }): string {
  return `sandbox ${id.containerID}`
}
