// One client on the socket, line by line. It may hang up at any time, or say nothing, or too much.
import type { Socket } from 'node:net'

import { CNI_CODE, CniError } from '../core/errors.ts'
import type { Limit } from '../core/limit.ts'
import { isGcLine, LINE_BYTES_MAX, renderLine, SHORT_LINE_BYTES_MAX } from '../core/cni/protocol.ts'

/** The client is gone, or too slow. */
export class HungUpError extends Error {
  override readonly name = 'HungUpError'
}

export interface Conversation {
  /** The next line. Throws HungUpError, and CniError 6 for more than a line may hold. */
  readonly listen: (timeoutMs: number) => Promise<string>
  readonly say: (value: object) => void
  /** Says the last thing and closes. */
  readonly end: (value: object) => void
  readonly hangUp: () => void
  /** Whether it is the client's turn. */
  readonly isListening: () => boolean
}

/** How long a client may take to hear the last thing and go. */
const LINGER_MS = 10_000
/** Enough of a line to tell what it is. */
const BEGINNING_BYTES = 64
const NEWLINE = 0x0a

/** A GC's long line is read, and its request done, in a place of its own: the others stay unread. */
export function newConversation(socket: Socket, longLines: Limit): Conversation {
  let chunks: Buffer[] = []
  let bytes = 0
  let bytesMax = SHORT_LINE_BYTES_MAX
  let hasLine = false
  let isEnded = false
  let isOver = false
  let fault: CniError | undefined
  let wake: (() => void) | undefined
  const closed = Promise.withResolvers<undefined>()

  const end = (): void => {
    isEnded = true
    wake?.()
  }
  const forget = (): void => {
    chunks = []
    bytes = 0
  }
  const lengthen = (): void => {
    bytesMax = LINE_BYTES_MAX
    const timeoutMs = socket.timeout ?? 0
    socket.setTimeout(0).pause()
    void longLines.inside(async () => {
      socket.setTimeout(timeoutMs).resume()
      await closed.promise
    })
  }
  const refuse = (): void => {
    fault = new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: with its variables it has more than ${bytesMax} bytes, expected at most that`,
    )
    forget()
    wake?.()
  }
  socket.on('data', (chunk: Buffer) => {
    // What it still has to say must be read for it to hear us.
    if (isOver || fault !== undefined) return
    chunks.push(chunk)
    bytes += chunk.length
    hasLine ||= chunk.includes(NEWLINE)
    if (bytes > bytesMax) {
      const beginning = Buffer.concat(chunks).toString('latin1', 0, BEGINNING_BYTES)
      if (bytesMax === SHORT_LINE_BYTES_MAX && isGcLine(beginning)) lengthen()
      else refuse()
    }
    if (hasLine) wake?.()
  })
  // A half-open socket is ours to close; nothing more comes on it.
  socket.on('end', end)
  socket.on('close', () => {
    end()
    closed.resolve(undefined)
  })
  socket.on('error', () => socket.destroy())
  socket.on('timeout', () => socket.destroy())

  const takeLine = (): string | undefined => {
    if (!hasLine) return undefined
    const text = Buffer.concat(chunks)
    const at = text.indexOf(NEWLINE)
    forget()
    if (at + 1 < text.length) chunks.push(text.subarray(at + 1))
    bytes = text.length - at - 1
    hasLine = chunks[0]?.includes(NEWLINE) ?? false
    return text.toString('utf8', 0, at)
  }
  const listen = async (timeoutMs: number): Promise<string> => {
    socket.setTimeout(timeoutMs)
    try {
      for (;;) {
        if (fault !== undefined) throw fault
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
    end: (value) => {
      isOver = true
      forget()
      socket.setTimeout(LINGER_MS).end(renderLine(value))
    },
    hangUp: () => socket.destroy(),
    isListening: () => wake !== undefined,
  }
}
