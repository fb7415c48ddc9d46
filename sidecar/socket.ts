// The socket by which virt-launcher finds us. It takes every file in the folder for a sidecar, so the folder
// may only ever hold a socket that answers (KubeVirt v1.9: pkg/hooks/manager.go).
import { accessSync, constants, lstatSync, unlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'

/** sockaddr_un.sun_path, without the closing NUL. */
const MAX_PATH_BYTES = 107

/**
 * The path of the socket. virt-launcher recognizes sidecars by file name alone, though every sidecar has its
 * own folder. With two of one name it waits for the second in vain. Only the container's name is unique in the
 * pod.
 */
export function toSocketPath(dir: string, name: string): string {
  // Container names are DNS labels. Anything else must not lead out of the folder.
  const path = join(dir, `${name.replaceAll(/[^\w.-]/g, '-').replace(/^\.+/, '')}.sock`)
  const bytes = Buffer.byteLength(path)
  if (bytes > MAX_PATH_BYTES) {
    throw new Error(
      `Cannot listen on "${path}": the path has ${bytes} bytes, at most ${MAX_PATH_BYTES} fit`,
    )
  }
  return path
}

/**
 * Makes sure that the path is free to listen on, and removes the socket of a crashed instance. Refuses to
 * remove a socket in use, or any other file.
 */
export async function clearSocketPath(path: string): Promise<void> {
  try {
    // gRPC would only report that it could not bind, not why.
    accessSync(dirname(path), constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw new Error(`Cannot listen on "${path}"`, { cause })
  }
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new Error(`Cannot listen on "${path}": it exists and is no socket`)
  if (await isListening(path)) {
    throw new Error(`Cannot listen on "${path}": another sidecar of this name listens there`)
  }
  delSocket(path)
}

/** Removes the socket. Succeeds if it is already gone. */
export function delSocket(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
}

async function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => {
      resolve(false)
    })
  })
}
