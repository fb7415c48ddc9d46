// The cable tester: every frame class through a cable in both directions, then silence.
import { setTimeout as sleep } from 'node:timers/promises'

import type { FrameRow } from '../core/tester/frames.ts'
import type { VerdictColumn } from '../core/tester/table.ts'
import {
  IDLE_WIRE,
  judge,
  toFrames,
  toSilenceVerdict,
  type RowVerdict,
} from '../core/tester/verdict.ts'
import type { Station } from './station.ts'

export interface CableTestOptions {
  readonly rows: readonly FrameRow[]
  /** How long the idle wire is listened to; 0 leaves that row out. */
  readonly idleSeconds: number
}

/** How long after the last frame a capture goes on, for what is late and for what nobody sent. */
const SETTLE_MS = 1500

/** Two columns, there and back. Throws CommandError when a station cannot send or listen. */
export async function testCable(
  a: Station,
  b: Station,
  options: CableTestOptions,
): Promise<readonly VerdictColumn[]> {
  const there = await testDirection(a, b, options.rows)
  const back = await testDirection(b, a, options.rows)
  const idle = options.idleSeconds > 0 ? await listenToIdle([b, a], options.idleSeconds) : []
  return [
    { title: `${a.label} > ${b.label}`, verdicts: [...there, ...idle.slice(0, 1)] },
    { title: `${b.label} > ${a.label}`, verdicts: [...back, ...idle.slice(1)] },
  ]
}

async function testDirection(
  from: Station,
  to: Station,
  rows: readonly FrameRow[],
): Promise<readonly RowVerdict[]> {
  const ends = { sender: await from.readMac(), receiver: await to.readMac() }
  await using capture = await to.startCapture()
  await from.send(toFrames(rows, ends))
  await sleep(SETTLE_MS)
  return judge(rows, ends, await capture.stop())
}

async function listenToIdle(
  stations: readonly Station[],
  seconds: number,
): Promise<readonly RowVerdict[]> {
  await using captures = new AsyncDisposableStack()
  const running = []
  for (const station of stations) running.push(captures.use(await station.startCapture()))
  await sleep(seconds * 1000)
  const verdicts: RowVerdict[] = []
  for (const capture of running) verdicts.push(toSilenceVerdict(IDLE_WIRE, await capture.stop()))
  return verdicts
}
