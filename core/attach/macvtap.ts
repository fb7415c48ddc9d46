// Macvtaps as devices that a kubelet hands out. QEMU's libvirt opens /dev/tap and the link's ifindex, and a
// container's devices are chosen before its network namespace is there: so the number comes first, and the
// link is made with it. A device is its number; what a pod was given, and what of it is free, is decided here.
import type { Attachment, TapAttachment } from './attachment.ts'
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { sha256Hex } from '../hash.ts'
import { IFNAME_BYTES } from '../name.ts'
import { toAttachmentKey, type AttachmentId } from '../wire/wire.ts'

/** What a pod requests, one for each NIC by macvtap. */
export const MACVTAP_RESOURCE = 'l2wire.dev/macvtap'

/** Far above what a namespace counts up to by itself, and a signed 32-bit number as the kernel wants. */
const FIRST_INDEX = 70_000_001
export const MACVTAPS_MAX = 10_000

/** Uid and gid of QEMU in a virt-launcher pod. */
export const QEMU_ID = 107
/** Of /dev/null (Linux, admin-guide/devices.txt): what a device leads to until its link is there. */
export const NULL_DEVICE: DeviceNumber = { major: 1, minor: 3 }

export interface DeviceNumber {
  readonly major: number
  readonly minor: number
}

export function listIndices(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => FIRST_INDEX + at)
}

/** Throws DecodeError for what is no device of a pool of this size. */
export function decodeMacvtapId(value: unknown, path: string, count: number): number {
  const index = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN
  if (index >= FIRST_INDEX && index < FIRST_INDEX + count) return index
  const last = FIRST_INDEX + count - 1
  throw new DecodeError(
    path,
    value,
    `a device of "${MACVTAP_RESOURCE}", from ${FIRST_INDEX} to ${last}`,
  )
}

/** Beside the agent's socket: on the node and in the agent's container the same path. */
export function toMacvtapFolder(socketPath: string): string {
  return `${socketPath.slice(0, socketPath.lastIndexOf('/'))}/macvtap`
}

/** The name that libvirt looks for under /dev. */
export function toDeviceFile(index: number): string {
  return `tap${index}`
}

/**
 * The link's name until its device number is read: what /sys/dev/char tells of links names no network
 * namespace, and "tap0" is in many. The inode is one namespace's alone.
 */
export function toBirthName({ containerID, ifname, netns }: TapAttachment): string {
  return `lm${sha256Hex(`${containerID}/${ifname}/${netns.inode}`, IFNAME_BYTES - 2)}`
}

/** The major number of macvtaps in /proc/devices; undefined before the kernel has loaded the module. */
export function parseMacvtapMajor(devices: string): number | undefined {
  const major = /^ *(\d+) macvtap$/m.exec(devices)?.[1]
  return major === undefined ? undefined : Number(major)
}

/** Whether a link of /sys/dev/char leads to the device of this link; of any with this index if none is named. */
export function leadsTo(target: string, linkName: string | undefined, index: number): boolean {
  const device = `/macvtap/${toDeviceFile(index)}`
  return target.endsWith(linkName === undefined ? device : `/net/${linkName}${device}`)
}

export type OtherMacvtap = TapAttachment & { readonly index: number }

/** Attachments by macvtap, less the one that asks. */
export function listOtherMacvtaps(
  attachments: readonly Attachment[],
  asking: AttachmentId,
): readonly OtherMacvtap[] {
  return attachments.flatMap((one) =>
    one.kind === 'tap' &&
    one.index !== undefined &&
    toAttachmentKey(one) !== toAttachmentKey(asking)
      ? [{ ...one, index: one.index }]
      : [],
  )
}

/** What a pod's containers were given, as the kubelet lists it. */
export interface PodDevices {
  readonly resourceName: string
  readonly deviceIds: readonly string[]
}

interface DeviceUse {
  /** By other NICs of the pod's sandbox. */
  readonly used: ReadonlySet<number>
  /** By a kubelet; undefined where none hands devices out. */
  readonly given: readonly PodDevices[] | undefined
  readonly count: number
}

/** Throws CniError 113 for a device that a configuration names and that is not this pod's, or another NIC's of it. */
export function refuseOthers(index: number, { used, given, count }: DeviceUse): void {
  const refuse = (what: string): CniError =>
    new CniError(
      CNI_CODE.DEVICE_MISSING,
      `Cannot use device "${index}" (deviceID): ${what}, expected one for each NIC`,
    )
  if (used.has(index)) throw refuse('another NIC of this pod has it')
  if (given !== undefined && !listGiven(given, count).includes(index))
    throw refuse('the kubelet did not give it to this pod')
}

// What an init container was given a later container may be given again.
function listGiven(devices: readonly PodDevices[], count: number): readonly number[] {
  const ids = new Set(
    devices
      .filter(({ resourceName }) => resourceName === MACVTAP_RESOURCE)
      .flatMap(({ deviceIds }) => deviceIds),
  )
  return [...ids].map((id) => decodeMacvtapId(id, 'pod-resources', count)).toSorted((a, b) => a - b)
}

/**
 * The device of a NIC whose configuration names none: the first of the pod's own that no other NIC of its
 * sandbox has. Throws CniError 113.
 */
export function pickOfPod(
  devices: readonly PodDevices[],
  used: ReadonlySet<number>,
  count: number,
): number {
  const given = listGiven(devices, count)
  const index = given.find((one) => !used.has(one))
  if (index !== undefined) return index
  const what =
    given.length === 0
      ? `the pod has no device "${MACVTAP_RESOURCE}"`
      : `all ${given.length} devices "${MACVTAP_RESOURCE}" of the pod have a NIC already`
  throw new CniError(
    CNI_CODE.DEVICE_MISSING,
    `Cannot attach by macvtap: ${what}, expected one for each NIC: ` +
      `in the VM's resources.limits "${MACVTAP_RESOURCE}" ` +
      "(KubeVirt 1.8 and newer do not read a network's annotation resourceName)",
  )
}

/** Where no kubelet hands devices out: the first that nobody on the node has. Throws CniError 113. */
export function pickFree(used: ReadonlySet<number>, count: number): number {
  const index = listIndices(count).find((one) => !used.has(one))
  if (index !== undefined) return index
  throw new CniError(
    CNI_CODE.DEVICE_MISSING,
    `Cannot attach by macvtap: all ${count} devices of the node are taken, ` +
      'expected a free one (--macvtap-devices)',
  )
}

/** What a kubelet had best choose: those that must be, then devices whose last sandbox is gone altogether. */
export function preferDevices(
  available: readonly string[],
  must: readonly string[],
  size: number,
  used: ReadonlySet<number>,
): readonly string[] {
  const rest = available.filter((id) => !must.includes(id))
  const isUsed = (id: string): boolean => used.has(Number(id))
  const free = rest.filter((id) => !isUsed(id))
  return [...must, ...free, ...rest.filter(isUsed)].slice(0, size)
}
