// What every way of plugging in comes down to: a cable that carries all there is.
import { FRAME_ROWS, type FrameRow } from '../core/tester/frames.ts'
import { renderVerdicts } from '../core/tester/table.ts'
import { appendRows, testCable, testIdle } from '../kernel/tester/cable-test.ts'
import type { Station } from '../kernel/tester/station.ts'

export interface Expected {
  /** All of them by default. */
  readonly rows?: readonly FrameRow[]
  /** For how long nothing may arrive when nobody sends; 0 by default. */
  readonly idleSeconds?: number
}

/** Throws the tester's table where a frame class does not arrive, either way, or a frame that nobody sent does. */
export async function expectTransparent(
  a: Station,
  b: Station,
  { rows = FRAME_ROWS, idleSeconds = 0 }: Expected = {},
): Promise<void> {
  const active = await testCable({ a, b }, rows)
  const [idle = []] = idleSeconds === 0 ? [] : await testIdle([{ a, b }], idleSeconds)
  const columns = appendRows(active, idle)
  const isTransparent = columns.every(({ verdicts }) =>
    verdicts.every((row) => row.outcome === 'delivered'),
  )
  if (!isTransparent) throw new Error(renderVerdicts(columns))
}
