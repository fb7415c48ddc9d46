// VMs by macvtap: which device an attachment has, its link in the launcher's namespace, and the file on
// the node by which the container runtime gives that device to the launcher.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { TapAttachment } from '../core/attachment.ts'
import type { BindConfig } from '../core/cni/bind-config.ts'
import { decodePodRef, type CniArgs } from '../core/cni/env.ts'
import { CNI_CODE, CniError, DecodeError } from '../core/errors.ts'
import {
  decodeMacvtapId,
  listOtherMacvtaps,
  NULL_DEVICE,
  pickFree,
  pickOfPod,
  QEMU_ID,
  toBirthName,
  toDeviceFile,
  type DeviceNumber,
} from '../core/macvtap.ts'
import {
  listMacvtapTargets,
  planMacvtap,
  planMacvtapBirth,
  planUnmacvtap,
  type MacvtapAttachment,
} from '../core/plan-macvtap.ts'
import type { TapFacts } from '../core/plan-tap.ts'
import type { PodLink } from '../core/pod-link.ts'
import type { Step } from '../core/step.ts'
import { applyRemoval, applySteps } from '../kernel/apply.ts'
import {
  isMacvtapDevice,
  makeCharDevice,
  readCharDevice,
  readMacvtapNumber,
} from '../kernel/char-device.ts'
import { listPodLinks, readRedirects } from '../kernel/links.ts'
import { isSameNetns } from '../kernel/netns.ts'
import { listFolder } from '../store/json-file.ts'
import type { Node } from './node.ts'

/** No attachment's key. */
const NOBODY = { containerID: '', ifname: '' }

/** What the agent has of macvtaps. */
export interface MacvtapPool {
  /** Where container runtimes find the devices. */
  readonly folder: string
  readonly count: number
  /** The kubelet's list of what pods were given; undefined where no kubelet hands devices out. */
  readonly podResources: string | undefined
}

/** Runs an ADD's making where two that ask for any free device do not meet. */
export async function withMacvtapTurn<T>(node: Node, action: () => Promise<T>): Promise<T> {
  // A kubelet's devices are one sandbox's alone, which has its turn already.
  return node.macvtaps.podResources === undefined ? node.queue('macvtaps', action) : action()
}

/** The attachment with a device of its own. Throws CniError. */
export async function toMacvtapAttachment(
  node: Node,
  args: CniArgs,
  config: BindConfig,
  attachment: TapAttachment,
  podLink: PodLink,
): Promise<MacvtapAttachment> {
  refuseShared(podLink)
  const index = await chooseIndex(node, args, config)
  const devicePath = join(node.macvtaps.folder, toDeviceFile(index))
  return { ...attachment, attach: 'macvtap', index, devicePath }
}

// The kernel would hop to the device below a macvlan and refuse with EINVAL: it is in use.
function refuseShared({ name, isShared }: PodLink): void {
  if (!isShared) return
  throw new CniError(
    CNI_CODE.UNSUPPORTED_FIELD,
    `Cannot use "attach": it is "macvtap", and pod link "${name}" shares a device with others (macvlan, ipvlan), so that it can carry none, expected "tap"`,
  )
}

async function chooseIndex(node: Node, args: CniArgs, config: BindConfig): Promise<number> {
  const { count, podResources } = node.macvtaps
  const others = listOtherMacvtaps(node.state.listAll(), args)
  const { deviceID } = config
  // A sandbox before, whose pod has gone, may linger with the same device: it is not the pod's any more.
  const ofSandbox = others.filter(({ containerID }) => containerID === args.containerID)
  const used = new Set(ofSandbox.map(({ index }) => index))
  if (deviceID !== undefined) {
    const index = decodeDeviceId(deviceID, count)
    if (!used.has(index)) return index
    throw new CniError(
      CNI_CODE.DEVICE_MISSING,
      `Cannot use device "${deviceID}" (deviceID): another NIC of this pod has it, expected one for each NIC`,
    )
  }
  if (podResources === undefined) return pickFree(new Set(others.map(({ index }) => index)), count)
  const pod = decodePodRef(args.args)
  if (pod.name === undefined)
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      'Cannot attach by macvtap: "K8S_POD_NAME" is missing in CNI_ARGS, expected the pod whose devices these are',
    )
  const { listPodDevices } = await import('../proto/pod-resources.ts')
  const devices = await listPodDevices(podResources, pod.namespace, pod.name).catch(
    (cause: unknown) => {
      throw new CniError(
        CNI_CODE.TRY_AGAIN_LATER,
        `Cannot ask the kubelet at "${podResources}" for the pod's devices`,
        { cause },
      )
    },
  )
  return pickOfPod(devices, used, count)
}

function decodeDeviceId(deviceID: string, count: number): number {
  try {
    return decodeMacvtapId(deviceID, 'deviceID', count)
  } catch (error) {
    if (error instanceof DecodeError)
      throw new CniError(CNI_CODE.INVALID_CONFIG, error.message, { cause: error })
    throw error
  }
}

/** Makes the link and its device's file; or what is missing of them. */
export async function makeMacvtap(
  node: Node,
  attachment: MacvtapAttachment,
  facts: TapFacts,
  choose: (steps: readonly Step[]) => readonly Step[],
): Promise<void> {
  const { tap, index } = attachment
  const isThere = facts.there.has(tap)
  const name = isThere ? tap : toBirthName(attachment)
  if (!isThere) {
    // One that was cut off has the pod link for itself.
    const leftovers = facts.there.has(name) ? [{ op: 'del-link', dev: name } as const] : []
    const netns = attachment.netns.path
    const steps = [
      ...leftovers.map((step) => ({ ...step, netns })),
      ...planMacvtapBirth(attachment),
    ]
    await applySteps(node.run, node.classifier, steps)
  }
  if (!isThere || !(await hasDevice(attachment))) {
    const number = await readMacvtapNumber(name, index)
    if (number === undefined)
      throw new CniError(
        CNI_CODE.KERNEL_REFUSED,
        `Cannot find the device of "${name}" with index ${index} in /sys/dev/char, expected one there`,
      )
    await showDevice(node, attachment, number)
  }
  await applySteps(node.run, node.classifier, choose(planMacvtap(attachment, facts)))
}

/** Runs where nobody else changes the file: a kubelet gives a number on while its last sandbox still goes. */
export async function withDevice<T>(
  node: Node,
  path: string,
  action: () => Promise<T>,
): Promise<T> {
  return node.queue(`device ${path}`, action)
}

async function showDevice(
  node: Node,
  attachment: MacvtapAttachment,
  number: DeviceNumber,
): Promise<void> {
  const path = toPath(node, attachment)
  try {
    await withDevice(node, path, async () => {
      // A newer sandbox has the number now, or will have: this one's container has its own copy, or is gone.
      const isAdding = attachment.phase === 'adding'
      if (!isAdding && (isShared(node, attachment) || (await isHandedOut(path)))) return
      await makeCharDevice(node.run, path, number, QEMU_ID)
    })
  } catch (cause) {
    throw new CniError(
      CNI_CODE.IO_FAILURE,
      `Cannot make the device "${path}" of "${attachment.tap}": the system refuses it, expected a folder where the agent may make devices`,
      { cause },
    )
  }
}

/** Idempotent; a namespace that is gone took the link with it, and not the file. */
export async function unmakeMacvtap(node: Node, attachment: MacvtapAttachment): Promise<void> {
  await hideDevice(node, attachment)
  if (await isSameNetns(attachment.netns))
    await applyRemoval(node.run, node.classifier, planUnmacvtap(attachment))
}

/** Removes a device's file, unless it is what a newer sandbox has, or a kubelet has handed out since. */
export async function hideDevice(node: Node, attachment: MacvtapAttachment): Promise<void> {
  if (isShared(node, attachment)) return
  const path = toPath(node, attachment)
  await withDevice(node, path, async () => {
    const number = await readCharDevice(path)
    if (number === undefined || number === 'other' || isNull(number)) return
    await rm(path, { force: true })
  })
}

/** Whether a kubelet has given the number away, and no ADD has come for it since. */
async function isHandedOut(path: string): Promise<boolean> {
  const number = await readCharDevice(path)
  return number !== undefined && number !== 'other' && isNull(number)
}

/** Removes files whose attachment was lost: what they lead to may be another pod's by now. */
export async function sweepDevices(node: Node): Promise<void> {
  if (node.state.hasUnreadable()) return
  const known = listOtherMacvtaps(node.state.listAll(), NOBODY).map(({ index }) =>
    toDeviceFile(index),
  )
  for (const file of await listFolder(node.macvtaps.folder)) {
    if (known.includes(file) || !/^\.?tap\d+(\.next)?$/.test(file)) continue
    const path = join(node.macvtaps.folder, file)
    const number = await readCharDevice(path)
    // What a kubelet has handed out, and no ADD has come for yet.
    if (number === undefined || (number !== 'other' && isNull(number))) continue
    node.log.warn({ path }, 'removing a device that nothing stands behind')
    await rm(path, { force: true })
  }
}

function isShared(node: Node, attachment: MacvtapAttachment): boolean {
  return listOtherMacvtaps(node.state.listAll(), attachment).some(
    ({ index }) => index === attachment.index,
  )
}

function toPath(node: Node, { devicePath, index }: MacvtapAttachment): string {
  return devicePath ?? join(node.macvtaps.folder, toDeviceFile(index))
}

function isNull({ major, minor }: DeviceNumber): boolean {
  return major === NULL_DEVICE.major && minor === NULL_DEVICE.minor
}

/** Whether the file leads to this attachment's link. */
async function hasDevice({ devicePath = '', tap, index }: MacvtapAttachment): Promise<boolean> {
  return isMacvtapDevice(devicePath, tap, index)
}

/** What differs from where ADD left it, in words. */
export async function findMacvtapFault(
  node: Node,
  attachment: MacvtapAttachment,
): Promise<string | undefined> {
  const { tap, podLink, netns, devicePath = '' } = attachment
  const links = await listPodLinks(node.run, netns.path)
  for (const name of [tap, podLink]) {
    const link = links.find((one) => one.name === name)
    if (link === undefined) return `"${name}" is gone, expected it there`
    if (!link.isUp) return `"${name}" is down, expected it up`
  }
  for (const { dev, hook, targets } of listMacvtapTargets(attachment)) {
    const found = await readRedirects(node.run, netns.path, dev, hook)
    if (found.join() !== targets.join())
      return `"${dev}" leads to "${found.join()}" on ${hook}, expected "${targets.join()}"`
  }
  if (isShared(node, attachment) || (await hasDevice(attachment))) return undefined
  return `"${devicePath}" does not lead to it, expected its device there`
}
