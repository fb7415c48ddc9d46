// How long to wait before what failed is tried again: twice as long after each failure.

export interface Backoff {
  /** Milliseconds until the next try; at most mostMs of them, for this once. */
  readonly next: (mostMs?: number) => number
  /** The next failure is the first again. */
  readonly reset: () => void
}

export function newBackoff(firstMs: number, mostMs: number): Backoff {
  let waitMs = firstMs
  return {
    next: (most = mostMs) => {
      const nowMs = Math.min(waitMs, most)
      waitMs = Math.min(nowMs * 2, most)
      return nowMs
    },
    reset: () => {
      waitMs = firstMs
    },
  }
}
