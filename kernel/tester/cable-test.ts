// The cable tester: every frame class through a cable in both directions, then silence.
import { setTimeout as sleep } from 'node:timers/promises'

import type { FrameRow } from '../../core/tester/frames.ts'
import type { VerdictColumn } from '../../core/tester/table.ts'
import {
  IDLE_WIRE,
  judge,
  toFrames,
  toSilenceVerdict,
  type RowVerdict,
} from '../../core/tester/verdict.ts'
import type { Station } from './station.ts'

/** A cable by its two ends. */
export interface Ends {
  readonly a: Station
  readonly b: Station
}

/** How long after the last frame a capture goes on, for what is late and for what nobody sent. */
const SETTLE_MS = 1500

/** Two columns, there and back. Throws CommandError when a station cannot send or listen. */
export async function testCable(
  { a, b }: Ends,
  rows: readonly FrameRow[],
): Promise<readonly VerdictColumn[]> {
  return [
    { title: toTitle(a, b), verdicts: await testDirection(a, b, rows) },
    { title: toTitle(b, a), verdicts: await testDirection(b, a, rows) },
  ]
}

/** Listens to cables on which nobody sends, all at once: two columns each, what arrived at b and at a. */
export async function testIdle(
  cables: readonly Ends[],
  seconds: number,
): Promise<readonly (readonly VerdictColumn[])[]> {
  await using captures = new AsyncDisposableStack()
  const running = []
  for (const { a, b } of cables)
    running.push({
      a,
      b,
      atB: captures.use(await b.startCapture()),
      atA: captures.use(await a.startCapture()),
    })
  await sleep(seconds * 1000)
  const columns = []
  for (const { a, b, atB, atA } of running)
    columns.push([
      {
        title: toTitle(a, b),
        verdicts: [toSilenceVerdict(IDLE_WIRE, await atB.stop(), (await a.readNic()).mac)],
      },
      {
        title: toTitle(b, a),
        verdicts: [toSilenceVerdict(IDLE_WIRE, await atA.stop(), (await b.readNic()).mac)],
      },
    ])
  return columns
}

/** Columns of the same cable, the rows of one below those of the other. */
export function appendRows(
  columns: readonly VerdictColumn[],
  more: readonly VerdictColumn[],
): readonly VerdictColumn[] {
  return columns.map(({ title, verdicts }, at) => ({
    title,
    verdicts: [...verdicts, ...(more[at]?.verdicts ?? [])],
  }))
}

function toTitle(from: Station, to: Station): string {
  return `${from.label} > ${to.label}`
}

async function testDirection(
  from: Station,
  to: Station,
  rows: readonly FrameRow[],
): Promise<readonly RowVerdict[]> {
  const [sender, receiver] = [await from.readNic(), await to.readNic()]
  const ends = { sender: sender.mac, receiver: receiver.mac }
  await using capture = await to.startCapture()
  await from.send(toFrames(rows, ends))
  await sleep(SETTLE_MS)
  const mtuBytes = Math.min(sender.mtuBytes, receiver.mtuBytes)
  return judge(rows, ends, await capture.stop(), mtuBytes)
}
