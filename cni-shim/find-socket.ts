// Finds the agent's socket: by the runtime's environment, else by root's file beside this executable, else the
// default. Whoever can write to either of them can also replace this executable.
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import {
  decodeSocketPath,
  DEFAULT_SOCKET,
  SOCKET_FILE,
  SOCKET_VARIABLE,
} from '../core/cni/socket.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'

/**
 * Throws CniError 4 for a variable that is no path, 5 for a file without a path or that others may write to.
 */
export function findSocket(
  env: Readonly<Record<string, string | undefined>>,
  executable: string,
): string {
  const given = env[SOCKET_VARIABLE]
  if (given !== undefined)
    return decodeSocketPath(given, SOCKET_VARIABLE, CNI_CODE.INVALID_ENVIRONMENT)
  const file = join(dirname(executable), SOCKET_FILE)
  const text = readRootFile(file)
  if (text === undefined) return DEFAULT_SOCKET
  return decodeSocketPath(text.replace(/\n$/, ''), `"${file}"`, CNI_CODE.IO_FAILURE)
}

/** Undefined if the file does not exist. */
function readRootFile(path: string): string | undefined {
  let handle: number
  try {
    // A pipe must not block us, and we follow no link.
    handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CniError(CNI_CODE.IO_FAILURE, `Cannot find the node agent: "${path}" is no file`, {
      cause,
    })
  }
  try {
    const stats = fstatSync(handle)
    if (stats.isFile() && stats.uid === 0 && (stats.mode & 0o022) === 0)
      return readFileSync(handle, 'utf8')
  } finally {
    closeSync(handle)
  }
  throw new CniError(
    CNI_CODE.IO_FAILURE,
    `Cannot find the node agent: "${path}" cannot be trusted, expected a file that belongs to root and that nobody else may write to`,
  )
}
