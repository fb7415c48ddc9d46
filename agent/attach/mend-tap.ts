// How a VM's tap is made, and brought to where its ADD left it: after its pod link was made again, by a
// starting agent, and by a look at its launcher, where somebody removed or changed what is in there.
import {
  upgradeTap,
  type TapAttachment,
  type WireAttachment,
} from '../../core/attach/attachment.ts'
import { isMacvtap, wantVmDevices } from '../../core/attach/macvtap-steps.ts'
import { listHooks } from '../../core/attach/tap.ts'
import { toServerNames } from '../../core/name.ts'
import type { NetnsObservation } from '../../core/observe/netns.ts'
import { listServerSysctls } from '../../core/podnetwork/server-sysctls.ts'
import type { Step } from '../../core/steps/step.ts'
import { diff } from '../../core/steps/diff.ts'
import { applySteps } from '../../kernel/apply.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { observeNetns } from '../../kernel/observe/netns.ts'
import { toSysctlFile } from '../../kernel/sysctls.ts'
import { addressServer } from '../podnetwork/vm-network.ts'
import { applyMacvtap, hasDevice } from './macvtap.ts'
import type { AgentContext } from '../context.ts'

/** Makes what is missing of the tap, its join, and its server's devices. Throws CommandError and CniError. */
export async function makeTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  const observed = await observeTap(node, attachment)
  await bringTo(node, attachment, observed, diffTap(node, attachment, observed))
}

async function bringTo(
  node: AgentContext,
  attachment: TapAttachment,
  observed: NetnsObservation,
  left: readonly Step[],
): Promise<void> {
  if (isMacvtap(attachment)) await applyMacvtap(node, attachment, left)
  else await applySteps(node.run, node.classifier, left)
  const { lease: vmNetwork, tap } = attachment
  if (vmNetwork === undefined) return
  const isNew = !observed.links.has(toServerNames(tap).server)
  await addressServer(node, attachment, vmNetwork, {
    observed: isNew ? await observeTap(node, attachment) : observed,
    isNew,
  })
}

/** The taps, one as a rule, that VMs have on a pod link. */
export function listTapsOn(
  { state }: AgentContext,
  { containerID, ifname }: WireAttachment,
): readonly TapAttachment[] {
  return state
    .listAll()
    .filter((one) => one.kind === 'tap')
    .filter((one) => one.containerID === containerID && one.podLink === ifname)
}

/** Joins taps to their pod link, which was made again. */
export async function rejoinTaps(
  node: AgentContext,
  taps: readonly TapAttachment[],
): Promise<void> {
  for (const tap of taps) await repairTap(node, tap)
}

/**
 * Brings a tap to where its ADD left it; one that is gone is made again, for the launcher's next QEMU:
 * one that runs has the old one open, and must be started anew.
 */
async function repairTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  await node.turns.attachment(attachment, async () => {
    // A DEL may have been quicker.
    if (node.state.find(attachment) !== attachment) return
    const seen = await observeTap(node, attachment)
    if (seen.links.has(attachment.podLink)) await mend(node, attachment, seen)
  })
}

/**
 * Brings a tap that frames go through to where its ADD left it, frames or not: in its turn, unless a DEL was
 * quicker. False where its sandbox is not there.
 */
export async function prepareTap(
  node: AgentContext,
  attachment: TapAttachment,
  isWanted: () => boolean,
): Promise<boolean> {
  return node.turns.attachment(attachment, async () => {
    if (!isWanted() || !(await isSameNetns(attachment.netns))) return false
    await mend(node, attachment, await observeTap(node, attachment))
    return true
  })
}

/** A VM's tap, after an agent that is gone: as this release makes it, and the server of its lease runs. */
export async function resumeTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  const { containerID, podLink, lease: vmNetwork } = attachment
  const tap = upgradeTap(attachment, node.state.find({ containerID, ifname: podLink }))
  if (tap !== attachment)
    await node.state.put(tap).catch((error: unknown) => {
      node.log.warn({ err: error, ...toFacts(tap) }, 'cannot write what is new about a tap')
      node.state.note(tap)
    })
  if (vmNetwork !== undefined) await node.dhcpServers.keep(tap)
}

/** Whether its device, or what was seen of it, is other than its ADD left it. */
export async function isAstray(
  node: AgentContext,
  attachment: TapAttachment,
  seen: NetnsObservation,
): Promise<boolean> {
  if (isMacvtap(attachment) && !(await hasDevice(attachment))) return true
  return diffTap(node, attachment, seen).length > 0
}

/** What is left to be done in the launcher, less its server's addresses. */
export function diffTap(
  { classifier }: Pick<AgentContext, 'classifier'>,
  attachment: TapAttachment,
  observed: NetnsObservation,
): readonly Step[] {
  return diff(wantVmDevices(attachment), observed, classifier)
}

/** In its turn: brings it to where its ADD left it. */
export async function mendTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  await node.turns.attachment(attachment, async () => lookAtTap(node, attachment))
}

async function lookAtTap(node: AgentContext, attachment: TapAttachment): Promise<void> {
  // A DEL may have been quicker.
  const isWanted = node.state.find(attachment) === attachment
  if (!isWanted || !(await isSameNetns(attachment.netns))) return
  const seen = await observeTap(node, attachment)
  const { tap, lease: vmNetwork, podLink } = attachment
  // A server that has lost its interface does not find the next one: it is made anew with it.
  if (vmNetwork !== undefined && !seen.links.has(toServerNames(tap).server))
    await node.dhcpServers.keep(attachment)
  // A pod link that is gone is made again with its end, and then joined.
  else if (seen.links.has(podLink)) await mend(node, attachment, seen)
}

export async function observeTap(
  node: AgentContext,
  attachment: TapAttachment,
): Promise<NetnsObservation> {
  const { tap, lease: vmNetwork, netns } = attachment
  const { server } = toServerNames(tap)
  const sysctls =
    vmNetwork === undefined ? [] : listServerSysctls(server, vmNetwork.ipv6 !== undefined)
  return observeNetns(node.run, netns.path, {
    hooks: listHooks(attachment),
    server: vmNetwork === undefined ? undefined : server,
    sysctls: sysctls.map((one) => toSysctlFile(node.netSysctls, one)),
  })
}

async function mend(
  node: AgentContext,
  attachment: TapAttachment,
  observed: NetnsObservation,
): Promise<void> {
  const left = diffTap(node, attachment, observed)
  if (left.length > 0)
    node.log.warn(
      { ...toFacts(attachment), steps: left.map(toWords) },
      'a tap is not as its ADD left it, it is mended',
    )
  await bringTo(node, attachment, observed, left)
}

function toWords(step: Step): string {
  return 'dev' in step ? `${step.op} ${step.dev}` : step.op
}

function toFacts({ tap, podLink, netns }: TapAttachment): Readonly<Record<string, string>> {
  return { tap, podLink, netns: netns.path }
}
