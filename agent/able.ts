// What an agent lives of: child processes. One that can start none does nothing, whatever else of it works.
import { CNI_CODE, CniError } from '../core/errors.ts'
import { runMortal } from '../kernel/run.ts'

/** Less than a probe waits for its answer. */
const ABLE_MS = 3_000

/** Throws CniError 50 unless a child process runs. */
export async function expectAble(): Promise<undefined> {
  try {
    await runMortal(['true'], { timeoutMs: ABLE_MS })
  } catch (cause) {
    throw new CniError(CNI_CODE.NOT_AVAILABLE, 'Cannot run a child process', { cause })
  }
}
