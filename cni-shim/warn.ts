// What is worth knowing and no reason to fail: standard error is the runtime's log.
import { renderCauses } from '../core/errors.ts'

export function warn(error: unknown): void {
  process.stderr.write(`l2wire: ${renderCauses(error)}\n`)
}
