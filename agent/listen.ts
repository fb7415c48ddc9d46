// The socket file: taken only from a dead agent, given back only while it is still ours.
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'

/** Listens, and returns how to remove the socket file. Throws when something else has the path. */
export async function listen(server: Server, path: string): Promise<() => Promise<void>> {
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
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
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
