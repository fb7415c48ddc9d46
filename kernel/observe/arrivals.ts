// What nodes of migrations' targets have sent to this one.
import { ARRIVALS_TABLE, parseCounters, type ObservedCounter } from '../../core/steps/arrivals.ts'
import { CommandError } from '../../core/errors.ts'
import type { Run } from '../run.ts'

/** None where nobody counts. Throws CommandError where nft is missing or not allowed. */
export async function readCounters(run: Run): Promise<readonly ObservedCounter[]> {
  try {
    return parseCounters(await run(['nft', '-j', 'list', 'table', ...ARRIVALS_TABLE.split(' ')]))
  } catch (error) {
    if (error instanceof CommandError && /^Error: No such file or directory/m.test(error.stderr))
      return []
    throw error
  }
}
