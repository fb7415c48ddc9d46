// What another process does arrives a moment later.
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 40_000
const POLL_MS = 25

/** Asks until it is so. Throws when that takes too long, and says what was waited for. */
export async function expectSoon(
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (Date.now() > deadline)
      throw new Error(`Not so within ${PATIENCE_MS / 1000} seconds: ${what}`)
    await sleep(POLL_MS)
  }
}
