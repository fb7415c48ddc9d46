// Files of character devices, for container runtimes to copy into a container; and what the kernel says of
// a device's number. None of them is ever opened here.
import { chown, lstat, mkdir, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { leadsTo, parseMacvtapMajor, type DeviceNumber } from '../core/attach/macvtap.ts'
import { replaceAtomically } from './replace-atomically.ts'
import type { Run } from './run.ts'

/** One link for each character device; those of network devices are here whatever namespace they are in. */
const SYS_CHAR = '/sys/dev/char'

/** The device of a macvtap; undefined when there is none, or several links of this name and index. */
export async function readMacvtapNumber(
  linkName: string,
  index: number,
): Promise<DeviceNumber | undefined> {
  const major = parseMacvtapMajor(await readFile('/proc/devices', 'utf8'))
  if (major === undefined) return undefined
  const found: DeviceNumber[] = []
  for (const file of await readdir(SYS_CHAR)) {
    const [ofMajor, minor] = file.split(':').map(Number)
    if (ofMajor !== major || minor === undefined) continue
    if (leadsTo(await readTarget(file), linkName, index)) found.push({ major, minor })
  }
  return found.length === 1 ? found[0] : undefined
}

/** Whether a file is the device of a living macvtap of this index, and this name if one is given. */
export async function isMacvtapDevice(
  path: string,
  linkName: string | undefined,
  index: number,
): Promise<boolean> {
  const number = await readCharDevice(path)
  if (number === undefined || number === 'other') return false
  return leadsTo(await readTarget(`${number.major}:${number.minor}`), linkName, index)
}

async function readTarget(file: string): Promise<string> {
  try {
    return await readlink(join(SYS_CHAR, file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** What a file leads to; undefined when there is none. "other" is no character device. */
export async function readCharDevice(path: string): Promise<DeviceNumber | 'other' | undefined> {
  try {
    const found = await lstat(path)
    return found.isCharacterDevice() ? splitNumber(found.rdev) : 'other'
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

// As the kernel encodes them (linux/kdev_t.h, new_encode_dev): 12 bits and 20.
function splitNumber(rdev: number): DeviceNumber {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) }
}

/** Puts a device at a path whole, in place of whatever file is there; one user and group may read and write it. */
export async function makeCharDevice(
  run: Run,
  path: string,
  { major, minor }: DeviceNumber,
  owner: number,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  await replaceAtomically(path, join(dirname(path), `.${basename(path)}.next`), async (next) => {
    await rm(next, { force: true })
    // By a process of coreutils: Node has no mknod.
    await run(['mknod', '-m', '660', next, 'c', String(major), String(minor)])
    await chown(next, owner, owner)
  })
}
