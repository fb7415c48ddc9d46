// Joins two connections.
import type { Socket } from 'node:net'

/**
 * Passes on the bytes of either to the other. When one is cut off, the other is too. Both are in open while
 * they last.
 */
export function joinSockets(one: Socket, other: Socket, open: Set<Socket>): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    open.add(from)
    // Either side may close at any time.
    from.on('error', () => undefined)
    from.on('close', () => {
      open.delete(from)
      to.destroy()
    })
    from.pipe(to)
  }
}
