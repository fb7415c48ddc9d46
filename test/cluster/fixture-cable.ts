// What every way of plugging in comes down to: a cable that carries all there is.
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { renderVerdicts } from '../../core/tester/table.ts'
import { testCable } from '../../kernel/cable-test.ts'
import type { Station } from '../../kernel/station.ts'

/** Throws the tester's table where a frame class does not arrive, either way. */
export async function expectTransparent(a: Station, b: Station): Promise<void> {
  const columns = await testCable({ a, b }, FRAME_ROWS)
  for (const { verdicts } of columns)
    if (verdicts.some((row) => row.outcome !== 'delivered'))
      throw new Error(renderVerdicts(columns))
}
