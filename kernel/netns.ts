// A network namespace is a value: its path, and the namespace that the path meant. Node cannot enter a
// namespace, so a child process under nsenter does all work inside.
import { readFile, stat, statfs } from 'node:fs/promises'

import type { NetnsRef } from '../core/attach/attachment.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'

/** The magic number of nsfs (linux/magic.h, NSFS_MAGIC). */
const NSFS_MAGIC = 0x6e736673

/** This process's own network namespace, named so that a child in another one can reach it. */
export const HOST_NETNS = `/proc/${process.pid}/ns/net`

/** Looks up a namespace path. Throws CniError 3 if it does not exist, 4 if it is no container's network namespace. */
export async function openNetns(path: string): Promise<NetnsRef> {
  const inode = await readNetnsInode(path)
  if (inode === undefined)
    throw new CniError(
      CNI_CODE.UNKNOWN_CONTAINER,
      `Cannot find the network namespace "${path}": no such file`,
    )
  // A pod with hostNetwork has the node's own links.
  if (inode === (await readNetnsInode(HOST_NETNS)))
    throw new CniError(
      CNI_CODE.INVALID_ENVIRONMENT,
      `Cannot use "${path}" (CNI_NETNS): it is the node's own network namespace, expected a container's`,
    )
  return { path, inode, bootId: await readBootId() }
}

/** Whether the path still leads to the same namespace. */
export async function isSameNetns(ref: NetnsRef): Promise<boolean> {
  try {
    return (await readNetnsInode(ref.path)) === ref.inode && (await readBootId()) === ref.bootId
  } catch (error) {
    // Without mount propagation a namespace's path becomes an empty file, which is not the same namespace.
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
