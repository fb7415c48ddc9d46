// What the doctor wants to know of this node beside the wires' devices: which sandboxes and taps are
// there, and which devices only look like ours.
import type { Attachment } from '../core/attachment.ts'
import { CommandError } from '../core/errors.ts'
import { parseLinks } from '../core/pod-link.ts'
import { isMacvtapDevice } from './char-device.ts'
import { listPodLinks, readMuteFault } from './links.ts'
import { isSameNetns } from './netns.ts'
import type { Run } from './run.ts'

export interface SandboxLook {
  readonly isSandboxThere: boolean
  /** Of a VM's tap only. */
  readonly hasTap: boolean | null
  /** Of a macvtap only. */
  readonly hasDevice: boolean | null
  /** In words, why others than the VM may speak on a pod link that it has taken over. */
  readonly muteFault: string | null
}

const NOTHING_SEEN = { hasTap: null, hasDevice: null, muteFault: null }

export async function lookAtSandbox(run: Run, attachment: Attachment): Promise<SandboxLook> {
  const isSandboxThere = await isSameNetns(attachment.netns)
  if (attachment.kind !== 'tap' || !isSandboxThere) return { isSandboxThere, ...NOTHING_SEEN }
  try {
    const links = await listPodLinks(run, attachment.netns.path)
    const { tap, index, devicePath = '', isMuted, podLink, netns } = attachment
    const hasDevice = index === undefined ? null : await isMacvtapDevice(devicePath, tap, index)
    const has = (dev: string): boolean => links.some(({ name }) => name === dev)
    const muteFault =
      isMuted && has(podLink) ? await readMuteFault(run, netns.path, podLink, tap) : undefined
    return { isSandboxThere, hasTap: has(tap), hasDevice, muteFault: muteFault ?? null }
  } catch (error) {
    // It goes while we look.
    if (error instanceof CommandError && !(await isSameNetns(attachment.netns)))
      return { isSandboxThere: false, ...NOTHING_SEEN }
    throw error
  }
}

/** Devices whose names are as ours. */
export async function listNamedAsOurs(run: Run): Promise<readonly string[]> {
  const links = parseLinks(await run(['ip', '-j', 'link', 'show']))
  return links.map(({ name }) => name).filter((name) => /^l[wx][0-9a-f]{13}$/.test(name))
}
