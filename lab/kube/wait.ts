// Waits for daemons to serve. If one has ended, it fails with that daemon's last output.
import { setTimeout as sleep } from 'node:timers/promises'

import type { Machine } from './machine.ts'

export interface WaitOptions {
  readonly timeoutMs?: number
  /** The interval of the checks. */
  readonly everyMs?: number
  /** The machines whose daemons must keep running. */
  readonly machine?: Machine
  readonly daemons?: readonly string[]
}

const PATIENCE_MS = 120_000
const AGAIN_MS = 200
const LAST_LINES = 15

export async function waitFor(
  what: string,
  isSo: () => Promise<boolean>,
  { timeoutMs = PATIENCE_MS, everyMs = AGAIN_MS, machine, daemons = [] }: WaitOptions = {},
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await isSo())) {
    const isLate = Date.now() > deadline
    for (const daemon of machine === undefined ? [] : daemons)
      if (machine !== undefined && (isLate || !(await machine.runs(daemon))))
        throw new Error(
          `${daemon} of ${machine.name} ${isLate ? 'runs but is not ready' : 'has ended'}, expected: ${what}. ` +
            `Its log ends:\n${toLastLines(await machine.readLog(daemon))}`,
        )
    if (isLate) throw new Error(`Not within ${timeoutMs / 1000} s: ${what}`)
    await sleep(everyMs)
  }
}

export function toLastLines(log: string): string {
  const lines = log.trimEnd().split('\n').slice(-LAST_LINES)
  return lines.map((line) => `  ${line}`).join('\n')
}

/** Whether it does not throw. */
export async function succeeds(act: () => Promise<unknown>): Promise<boolean> {
  return act().then(
    () => true,
    () => false,
  )
}
