// A network namespace is a value: its path, and which one was meant by it. Node cannot enter one,
// so whatever happens inside is done by a child process under nsenter.
import { readFile, stat, statfs } from 'node:fs/promises'

import type { NetnsRef } from '../core/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'

/** The magic number of nsfs (linux/magic.h, NSFS_MAGIC). */
const NSFS_MAGIC = 0x6e736673

/** This process's own network namespace, named so that a child in another one can reach it. */
export const HOST_NETNS = `/proc/${process.pid}/ns/net`

/** Looks a namespace path up. Throws CniError 3 when nothing is there, 4 when it is no namespace of a container. */
export async function openNetns(path: string): Promise<NetnsRef> {
  const inode = await readNetnsInode(path)
  if (inode === undefined)
    throw new CniError(
      CNI_CODE.UNKNOWN_CONTAINER,
      `Cannot find the network namespace "${path}": no such file`,
    )
  // A pod with hostNetwork: its links would be the node's own.
  if (inode === (await readNetnsInode(HOST_NETNS)))
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot use "${path}" (CNI_NETNS): it is the node's own network namespace, expected a container's`,
    )
  return { path, inode, bootId: await readBootId() }
}

/** Whether the path still leads to the namespace that was meant. */
export async function isSameNetns(ref: NetnsRef): Promise<boolean> {
  try {
    return (await readNetnsInode(ref.path)) === ref.inode && (await readBootId()) === ref.bootId
  } catch (error) {
    // Without mount propagation a namespace's path turns into an empty file: not the same any more.
    if (error instanceof CniError) return false
    throw error
  }
}

async function readNetnsInode(path: string): Promise<number | undefined> {
  let inode: number
  let type: number
  try {
    inode = (await stat(path)).ino
    type = (await statfs(path)).type
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
  if (type === NSFS_MAGIC) return inode
  throw new CniError(
    CNI_CODE.INVALID_ENVIRONMENT,
    `Cannot use "${path}" (CNI_NETNS): it is an ordinary file, expected a network namespace`,
  )
}

let bootId: string | undefined

async function readBootId(): Promise<string> {
  bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  return bootId
}
