// VMs by macvtap: which device an attachment has, its link in the launcher's namespace, and the file on
// the node by which the container runtime gives that device to the launcher.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { TapAttachment } from '../../core/attach/attachment.ts'
import type { BindConfig } from '../../core/cni/bind-config.ts'
import { decodePodRef, type CniArgs } from '../../core/cni/env.ts'
import { CNI_CODE, CniError, DecodeError } from '../../core/errors.ts'
import {
  decodeMacvtapId,
  listOtherMacvtaps,
  NULL_DEVICE,
  pickFree,
  pickOfPod,
  QEMU_ID,
  refuseOthers,
  toBirthName,
  toDeviceFile,
  type DeviceNumber,
  type OtherMacvtap,
  type PodDevices,
} from '../../core/attach/macvtap.ts'
import { planUnmacvtap, type MacvtapAttachment } from '../../core/attach/macvtap-steps.ts'
import { sharesDevice, type ObservedLink } from '../../core/observe/links.ts'
import type { Step } from '../../core/steps/step.ts'
import { applyRemoval, applySteps } from '../../kernel/apply.ts'
import {
  isMacvtapDevice,
  makeCharDevice,
  readCharDevice,
  readMacvtapNumber,
} from '../../kernel/char-device.ts'
import { isSameNetns } from '../../kernel/netns.ts'
import { listFolder } from '../../store/json-file.ts'
import type { AgentContext } from '../context.ts'

/** No attachment's key. */
const NOBODY = { containerID: '', ifname: '' }

/**
 * Runs an ADD's making for the attachment with a device of its own, where no other ADD chooses: what one is about
 * to have no other gets. Throws CniError.
 */
export async function withMacvtap(
  node: AgentContext,
  args: CniArgs,
  config: BindConfig,
  { attachment, podLink }: { readonly attachment: TapAttachment; readonly podLink: ObservedLink },
  make: (attachment: MacvtapAttachment) => Promise<void>,
): Promise<void> {
  refuseShared(podLink)
  // Before its turn: a kubelet that does not answer keeps nobody else waiting.
  const given = await listGiven(node, args)
  await node.turns.macvtaps(async () => {
    const index = await chooseIndex(node, args, config, given)
    const devicePath = join(node.macvtaps.folder, toDeviceFile(index))
    await make({ ...attachment, attach: 'macvtap', index, devicePath })
  })
}

// The kernel would hop to the device below a macvlan and refuse with EINVAL: it is in use.
function refuseShared(link: ObservedLink): void {
  const { name } = link
  if (!sharesDevice(link)) return
  throw new CniError(
    CNI_CODE.UNSUPPORTED_FIELD,
    `Cannot use "attach": it is "macvtap", and pod link "${name}" shares a device with others (macvlan, ipvlan), so that it can carry none, expected "tap"`,
  )
}

async function chooseIndex(
  node: AgentContext,
  args: CniArgs,
  { deviceID }: BindConfig,
  given: readonly PodDevices[] | undefined,
): Promise<number> {
  const { count } = node.macvtaps
  const others = listOtherMacvtaps(node.state.listAll(), args)
  const ofSandbox = others.filter(({ containerID }) => containerID === args.containerID)
  const used = new Set(ofSandbox.map(({ index }) => index))
  const named = deviceID === undefined ? undefined : decodeDeviceId(deviceID, count)
  // Multus writes the key for a device that the kubelet gave; so may whoever writes the network for any.
  if (named !== undefined) refuseOthers(named, { used, given, count })
  const index =
    named ??
    (given === undefined
      ? pickFree(new Set(others.map((other) => other.index)), count)
      : pickOfPod(given, used, count))
  await refuseLiving(node, index, others)
  return index
}

/** What the kubelet gave to the pod; undefined where none hands devices out. */
async function listGiven(
  node: AgentContext,
  args: CniArgs,
): Promise<readonly PodDevices[] | undefined> {
  const { podResources } = node.macvtaps
  if (podResources === undefined) {
    // A runtime without a kubelet numbers its devices itself, in a configuration of its own.
    if (node.cluster === undefined) return undefined
    throw new CniError(
      CNI_CODE.DEVICE_MISSING,
      'Cannot attach by macvtap: the agent of this node hands out no devices, expected l2wire installed with its component "macvtap" (--device-plugins)',
    )
  }
  const pod = decodePodRef(args.args)
  if (pod.name === undefined)
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      'Cannot attach by macvtap: "K8S_POD_NAME" is missing in CNI_ARGS, expected the pod whose devices these are',
    )
  const { listPodDevices } = await import('../../proto/pod-resources.ts')
  const pods = await listPodDevices(podResources, pod.namespace, pod.name).catch(
    (cause: unknown) => {
      throw new CniError(
        CNI_CODE.TRY_AGAIN_LATER,
        `Cannot ask the kubelet at "${podResources}" for the pod's devices`,
        { cause },
      )
    },
  )
  // It tells names alone, and an earlier pod of this name may be on its way out.
  if (pods.length > 1)
    throw new CniError(
      CNI_CODE.TRY_AGAIN_LATER,
      `Cannot attach by macvtap: the kubelet has ${pods.length} pods "${pod.namespace}/${pod.name}", expected one: the earlier goes`,
    )
  return pods[0] ?? []
}

// A kubelet gives a number on once a pod has ended; its sandbox may linger until its DEL, and one of a kubelet
// that lost its list may go on.
async function refuseLiving(
  node: AgentContext,
  index: number,
  others: readonly OtherMacvtap[],
): Promise<void> {
  // Whose it is stands in our log: whoever asks need not know.
  const refuse = (holder: object): CniError => {
    node.log.warn({ device: index, ...holder }, 'a device is asked for that a living sandbox has')
    return new CniError(
      CNI_CODE.TRY_AGAIN_LATER,
      `Cannot attach by macvtap: device "${index}" is another sandbox's, which is still there, expected it gone`,
    )
  }
  for (const { index: held, netns, tap, containerID } of others)
    if (held === index && (await isSameNetns(netns))) throw refuse({ tap, containerID })
  // A sandbox whose document is lost, or cannot be read.
  const path = join(node.macvtaps.folder, toDeviceFile(index))
  if (await isMacvtapDevice(path, undefined, index)) throw refuse({ path })
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

/** Does what is left of the steps, and makes its device's file. Throws CommandError and CniError. */
export async function applyMacvtap(
  node: AgentContext,
  attachment: MacvtapAttachment,
  left: readonly Step[],
): Promise<void> {
  // The device's number is read in between: by its name at birth alone the link is told from all others.
  const at = Math.max(
    0,
    left.findIndex(({ op }) => op === 'rename-link'),
  )
  const isToBeNamed = left[at]?.op === 'rename-link'
  await applySteps(node.run, node.classifier, left.slice(0, at))
  if (isToBeNamed || !(await hasDevice(attachment)))
    await showDevice(
      node,
      attachment,
      await readNumber(attachment, isToBeNamed ? toBirthName(attachment) : attachment.tap),
    )
  await applySteps(node.run, node.classifier, left.slice(at))
}

async function readNumber({ index }: MacvtapAttachment, name: string): Promise<DeviceNumber> {
  const number = await readMacvtapNumber(name, index)
  if (number !== undefined) return number
  throw new CniError(
    CNI_CODE.KERNEL_REFUSED,
    `Cannot find the device of "${name}" with index ${index} in /sys/dev/char, expected one there`,
  )
}

/** Runs where nobody else changes the file: a kubelet gives a number on while its last sandbox still goes. */
export async function withDevice<T>(
  node: AgentContext,
  path: string,
  action: () => Promise<T>,
): Promise<T> {
  return node.turns.device(path, action)
}

async function showDevice(
  node: AgentContext,
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
export async function unmakeMacvtap(
  node: AgentContext,
  attachment: MacvtapAttachment,
): Promise<void> {
  await hideDevice(node, attachment)
  if (await isSameNetns(attachment.netns))
    await applyRemoval(node.run, node.classifier, planUnmacvtap(attachment))
}

/** Removes a device's file, unless it is what a newer sandbox has, or a kubelet has handed out since. */
export async function hideDevice(node: AgentContext, attachment: MacvtapAttachment): Promise<void> {
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
export async function sweepDevices(node: AgentContext): Promise<void> {
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

function isShared(node: AgentContext, attachment: MacvtapAttachment): boolean {
  return listOtherMacvtaps(node.state.listAll(), attachment).some(
    ({ index }) => index === attachment.index,
  )
}

function toPath(node: AgentContext, { devicePath, index }: MacvtapAttachment): string {
  return devicePath ?? join(node.macvtaps.folder, toDeviceFile(index))
}

function isNull({ major, minor }: DeviceNumber): boolean {
  return major === NULL_DEVICE.major && minor === NULL_DEVICE.minor
}

/** Whether the file leads to this attachment's link. */
export async function hasDevice({
  devicePath = '',
  tap,
  index,
}: MacvtapAttachment): Promise<boolean> {
  return isMacvtapDevice(devicePath, tap, index)
}

/** In words, what of its device is not as its ADD left it. */
export async function findLostDevice(
  node: AgentContext,
  attachment: MacvtapAttachment,
): Promise<string | undefined> {
  if (isShared(node, attachment) || (await hasDevice(attachment))) return undefined
  return `"${attachment.devicePath ?? ''}" does not lead to it, expected its device there`
}
