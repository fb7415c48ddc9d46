// Staying small. The sidecar works for a few milliseconds of a VM's life and waits for the rest of
// it, in a container that may have 64 MB.
import { MAX_MESSAGE_BYTES } from '../proto/load.ts'

// What stays alive is 8 MB. Measured over 3,000 calls without a pause (2026-11), for which there is no better moment: 20 MB
// of anonymous memory with this, 22 MB with 14, 27 MB when V8 chooses (36 MB with domains of 200 KB).
const COLLECT_NOW_ABOVE_BYTES = 12_000_000
/** V8 begins by itself not much later, in the middle of a call. */
const COLLECT_AFTER_GROWTH_BYTES = 1_000_000
// A fifth of a CPU is 20 ms in each tenth of a second: collecting in the tenth of an answer would halt it,
// since a large one takes several turns to leave.
const PAUSE_MS = 150

let timer: NodeJS.Timeout | undefined
let settledBytes = 0

/** Gives back what a call has left behind, once nobody waits. Does nothing unless Node runs with --expose-gc. */
export function collectGarbageSoon(): void {
  clearTimeout(timer)
  if (readBytes() > COLLECT_NOW_ABOVE_BYTES) collectGarbage()
  else timer = setTimeout(collectGrowth, PAUSE_MS).unref()
}

function collectGrowth(): void {
  if (readBytes() > settledBytes + COLLECT_AFTER_GROWTH_BYTES) collectGarbage()
}

function collectGarbage(): void {
  globalThis.gc?.()
  settledBytes = readBytes()
}

function readBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/**
 * The largest call that may be taken on here. Between request and answer a document exists seven
 * times (message, text, result, frames), so one sixteenth of the container's memory is safe: 4 MB
 * of 64. A VMI has 1.5 MB at most, a domain with 1,000 disks 0.25 MB. gRPC refuses a larger one
 * before it has taken it in; 15 MB in a container of 64 made the kernel swap code pages without end.
 */
export function toMaxMessageBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(MAX_MESSAGE_BYTES, Math.floor(limit / 16)) : MAX_MESSAGE_BYTES
}
