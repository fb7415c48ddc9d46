// One client on the socket, line by line. It may hang up at any time, or say nothing.
import type { Socket } from 'node:net'

import { LINE_BYTES_MAX } from '../core/protocol.ts'

/** The client is gone, too slow, or says more than a line may hold. */
export class HungUpError extends Error {
  override readonly name = 'HungUpError'
}

export interface Conversation {
  /** The next line. Throws HungUpError. */
  readonly listen: (timeoutMs: number) => Promise<string>
  readonly say: (value: object) => void
  /** Says the last thing and closes. */
  readonly end: (value: object) => void
  readonly hangUp: () => void
  /** Whether it is the client's turn. */
  readonly isListening: () => boolean
}

export function newConversation(socket: Socket): Conversation {
  let unread = Buffer.alloc(0)
  let isEnded = false
  let wake: (() => void) | undefined

  const end = (): void => {
    isEnded = true
    wake?.()
  }
  socket.on('data', (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk])
    if (unread.length > LINE_BYTES_MAX) socket.destroy()
    wake?.()
  })
  // A half-open socket is ours to close; nothing more comes on it.
  socket.on('end', end)
  socket.on('close', end)
  socket.on('error', () => socket.destroy())
  socket.on('timeout', () => socket.destroy())

  const takeLine = (): string | undefined => {
    const at = unread.indexOf(0x0a)
    if (at < 0) return undefined
    const line = unread.toString('utf8', 0, at)
    unread = unread.subarray(at + 1)
    return line
  }
  const listen = async (timeoutMs: number): Promise<string> => {
    socket.setTimeout(timeoutMs)
    try {
      for (;;) {
        const line = takeLine()
        if (line !== undefined) return line
        if (isEnded) throw new HungUpError('Cannot go on: the client hung up')
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      wake = undefined
      socket.setTimeout(0)
    }
  }
  return {
    listen,
    say: (value) => socket.write(renderLine(value)),
    end: (value) => socket.end(renderLine(value)),
    hangUp: () => socket.destroy(),
    isListening: () => wake !== undefined,
  }
}

function renderLine(value: object): string {
  return `${JSON.stringify(value)}\n`
}
