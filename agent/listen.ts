// The socket file: taken only from a dead agent, given back only while it is still ours.
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'

import { readFilesMax } from '../kernel/open-files.ts'

/** More than a node's pods ever ask at once; who comes beyond is sent away at once, and comes again. */
const CONNECTIONS_MAX = 256
/** What else there is takes file descriptors, too: children, and files that are read. */
const SHARE = 8

/**
 * Listens, and returns how to remove the socket file. Throws when something else has the path. onFailed is
 * told when no connection can be taken any more.
 */
export async function listen(
  server: Server,
  path: string,
  onFailed: (error: Error) => void,
): Promise<() => Promise<void>> {
  await mkdir(dirname(path), { recursive: true })
  if ((await readInode(path)) !== undefined) {
    if (!(await lstat(path)).isSocket())
      throw new Error(`Cannot listen on "${path}": it is a file, expected a free path or a socket`)
    if (await isAnswered(path))
      throw new Error(
        `Cannot listen on "${path}": another agent does, expected one agent per socket`,
      )
    await rm(path, { force: true })
  }
  server.maxConnections = Math.min(CONNECTIONS_MAX, Math.floor(readFilesMax() / SHARE))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject).on('error', onFailed)
      resolve()
    })
  })
  // Whoever may write here may plug cables into any pod: root alone.
  await chmod(path, 0o600)
  const inode = await readInode(path)
  return async () => {
    if ((await readInode(path)) === inode) await rm(path, { force: true })
  }
}

async function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function readInode(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
