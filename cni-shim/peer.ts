// Reads which user listens at the other end of a unix socket, as the kernel recorded it. Node has no API for
// it.
import type { Socket } from 'node:net'

import { isRecord } from '../core/record.ts'

// <asm-generic/socket.h>; both have these numbers on x86-64 and on ARM64.
const SOL_SOCKET = 1
const SO_PEERCRED = 17
/** struct ucred: pid, uid, gid. */
const CREDENTIALS = 3
const CREDENTIALS_BYTES = 12

/** The user's ID. Undefined if this Bun cannot ask; then only the socket's path is checked. */
export async function readPeerUser(socket: Socket): Promise<number | undefined> {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd = isRecord(handle) ? handle['fd'] : undefined
  if (typeof fd !== 'number') return undefined
  const credentials = new Uint32Array(CREDENTIALS)
  try {
    const { dlopen, ptr } = await import('bun:ffi')
    const { symbols } = dlopen('libc.so.6', {
      getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
    })
    const length = Uint32Array.of(CREDENTIALS_BYTES)
    const failed = symbols.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ptr(credentials), ptr(length))
    if (failed !== 0) return undefined
  } catch {
    // No executable memory, or another C library.
    return undefined
  }
  return credentials[1]
}
