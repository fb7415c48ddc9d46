// Warnings that are no reason to fail. Standard error is the runtime's log.
import { renderCauses } from '../core/errors.ts'
import { toPrintable } from '../core/printable.ts'

export function warn(error: unknown): void {
  process.stderr.write(`l2wire: ${toPrintable(renderCauses(error))}\n`)
}
