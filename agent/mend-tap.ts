// How a VM's tap is made, and brought to where its ADD left it: after its pod link was made again, by a
// starting agent, and by the look at everything, where somebody removed or changed what is in the launcher.
import type { TapAttachment, WireAttachment } from '../core/attachment.ts'
import { isMacvtap } from '../core/plan-macvtap.ts'
import { listHooks, planTap } from '../core/plan-tap.ts'
import { toServerNames } from '../core/name.ts'
import type { NetnsObservation } from '../core/netns-observation.ts'
import type { PodLink } from '../core/pod-link.ts'
import { listServerSysctls } from '../core/server-sysctls.ts'
import type { Step } from '../core/step.ts'
import { listUndone } from '../core/undone.ts'
import { toAttachmentKey } from '../core/wire.ts'
import { applySteps } from '../kernel/apply.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { observeNetns } from '../kernel/observe-netns.ts'
import { toSysctlFile } from '../kernel/sysctls.ts'
import { addressServer } from './lease.ts'
import { makeMacvtap } from './macvtap.ts'
import type { Node } from './node.ts'

export interface TapPlace {
  readonly links: readonly PodLink[]
  /** What the pod link is set to where it is an end of our wire; another CNI's link keeps its MTU. */
  readonly maxFrameBytes: number | undefined
}

/** Which of some steps are to be done. */
export type Choose = (steps: readonly Step[]) => readonly Step[]

const ALL: Choose = (steps) => steps

/** Tap, join, and the devices of a lease's server, whatever of them there is. */
export async function makeTap(
  node: Node,
  attachment: TapAttachment,
  { links, maxFrameBytes }: TapPlace,
): Promise<void> {
  await makeDevices(node, attachment, { links, maxFrameBytes }, ALL)
  await addressServer(node, attachment)
}

async function makeDevices(
  node: Node,
  attachment: TapAttachment,
  { links, maxFrameBytes }: TapPlace,
  choose: Choose,
): Promise<void> {
  const there = new Set(links.map(({ name }) => name))
  const isShared = links.find(({ name }) => name === attachment.podLink)?.isShared ?? false
  const facts = { maxFrameBytes, there, isShared }
  if (isMacvtap(attachment)) await makeMacvtap(node, attachment, facts, choose)
  else await applySteps(node.run, node.classifier, choose(planTap(attachment, facts)))
}

/** Joins a sandbox's taps to a pod link that was made again. */
export async function rejoinTaps(
  node: Node,
  { containerID, ifname, maxFrameBytes }: WireAttachment,
): Promise<void> {
  const taps = node.state
    .listAll()
    .filter(
      (one) => one.kind === 'tap' && one.containerID === containerID && one.podLink === ifname,
    )
  for (const tap of taps) await repairTap(node, tap as TapAttachment, maxFrameBytes)
}

/**
 * Brings a tap to where its ADD left it; one that is gone is made again, for the launcher's next QEMU:
 * one that runs has the old one open, and must be started anew.
 */
export async function repairTap(
  node: Node,
  attachment: TapAttachment,
  maxFrameBytes: number | undefined,
): Promise<void> {
  const seen = await observe(node, attachment)
  if (seen.links.has(attachment.podLink)) await mend(node, attachment, seen, maxFrameBytes)
}

/**
 * Brings a tap that frames go through to where its ADD left it, frames or not: in its turn, unless a DEL was
 * quicker. False where its sandbox is not there.
 */
export async function prepareTap(
  node: Node,
  attachment: TapAttachment,
  isWanted: () => boolean,
): Promise<boolean> {
  return node.queue(`attachment ${toAttachmentKey(attachment)}`, async () => {
    if (!isWanted() || !(await isSameNetns(attachment.netns))) return false
    await mend(node, attachment, await observe(node, attachment), undefined)
    return true
  })
}

/** A pod link that a VM has taken over, after an agent that is gone: mute, and the server of its lease runs. */
export async function resumeTap(node: Node, attachment: TapAttachment): Promise<void> {
  if (attachment.isMuted === true) await node.leaseServers.keep(attachment)
}

/**
 * Looks at the pod links that VMs have taken over, one after the other: nobody tells of filters that go in
 * another namespace. One that cannot be looked at is logged and does not keep the others waiting.
 */
export async function lookAtTaps(node: Node): Promise<void> {
  for (const one of node.state.listAll()) {
    if (one.kind !== 'tap' || one.phase !== 'ready' || one.isMuted !== true) continue
    try {
      await node.queue(`attachment ${toAttachmentKey(one)}`, async () => lookAtTap(node, one))
    } catch (error) {
      node.log.error({ err: error, ...toFacts(one) }, "cannot bring a VM's pod link to its ADD yet")
    }
  }
}

async function lookAtTap(node: Node, attachment: TapAttachment): Promise<void> {
  // A DEL may have been quicker.
  const isWanted = node.state.find(attachment) === attachment
  if (!isWanted || !(await isSameNetns(attachment.netns))) return
  const seen = await observe(node, attachment)
  const { tap, lease } = attachment
  // A server that has lost its interface does not find the next one: it is made anew with it.
  if (lease !== undefined && !seen.links.has(toServerNames(tap).server))
    await node.leaseServers.keep(attachment)
  else await mend(node, attachment, seen, undefined)
}

async function observe(node: Node, attachment: TapAttachment): Promise<NetnsObservation> {
  const { tap, lease, netns } = attachment
  const { server } = toServerNames(tap)
  const sysctls = lease === undefined ? [] : listServerSysctls(server, lease.ipv6 !== undefined)
  return observeNetns(node.run, netns.path, {
    hooks: listHooks(attachment),
    server: lease === undefined ? undefined : server,
    sysctls: sysctls.map((one) => toSysctlFile(node.netSysctls, one)),
  })
}

async function mend(
  node: Node,
  attachment: TapAttachment,
  seen: NetnsObservation,
  maxFrameBytes: number | undefined,
): Promise<void> {
  const choose: Choose = (steps) => {
    const undone = listUndone(steps, seen, node.classifier)
    if (undone.length > 0)
      node.log.warn(
        { ...toFacts(attachment), steps: undone.map(toWords) },
        'a tap is not as its ADD left it, it is mended',
      )
    return undone
  }
  await makeDevices(node, attachment, { links: seen.podLinks, maxFrameBytes }, choose)
  await addressServer(node, attachment, seen, choose)
}

function toWords(step: Step): string {
  return 'dev' in step ? `${step.op} ${step.dev}` : step.op
}

function toFacts({ tap, podLink, netns }: TapAttachment): Readonly<Record<string, string>> {
  return { tap, podLink, netns: netns.path }
}
