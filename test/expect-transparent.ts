// What every way of plugging in comes down to: a cable that carries all there is.
import { FRAME_ROWS, type FrameRow } from '../core/tester/frames.ts'
import { renderVerdicts } from '../core/tester/table.ts'
import { testCable } from '../kernel/tester/cable-test.ts'
import type { Station } from '../kernel/tester/station.ts'

/** Throws the tester's table where a frame class does not arrive, either way. */
export async function expectTransparent(
  a: Station,
  b: Station,
  rows: readonly FrameRow[] = FRAME_ROWS,
): Promise<void> {
  const columns = await testCable({ a, b }, rows)
  for (const { verdicts } of columns)
    if (verdicts.some((row) => row.outcome !== 'delivered'))
      throw new Error(renderVerdicts(columns))
}
