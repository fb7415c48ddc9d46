// Carries steps out, a process per run of neighbours. iproute2's batch mode is no transaction: it
// stops at the failing line and names it, and what was done before stays done.
import {
  clearTheWay,
  isGone,
  passOver,
  renderBatches,
  toArgv,
  type Batch,
  type Classifier,
} from '../core/steps/argv.ts'
import { CommandError } from '../core/errors.ts'
import type { Step } from '../core/steps/step.ts'
import { HOST_NETNS } from './netns.ts'
import type { Run } from './run.ts'

/** Does all steps in order. Throws the first CommandError; earlier steps stay done. */
export async function applySteps(
  run: Run,
  classifier: Classifier,
  steps: readonly Step[],
): Promise<void> {
  const options = { classifier, hostNetns: HOST_NETNS }
  for (const batch of renderBatches(steps, options)) await applyBatch(run, batch)
}

async function applyBatch(run: Run, batch: Batch): Promise<void> {
  const { lines } = batch
  try {
    await run(toArgv(batch), { input: renderInput(lines) })
  } catch (error) {
    const at = error instanceof CommandError ? findFailedLine(error, lines) : undefined
    if (!(error instanceof CommandError) || at === undefined) throw error
    const line = lines[at] ?? ''
    if (passOver(line, error.stderr)) {
      const left = lines.slice(at + 1)
      if (left.length > 0) await applyBatch(run, { ...batch, lines: left })
      return
    }
    const first = clearTheWay(line, error.stderr)
    // Once for each line: what is in the way when that is gone is another thing.
    if (first === undefined || lines[at - 1] === first) throw toLineError(error, batch, line)
    await applyBatch(run, { ...batch, lines: [first, ...lines.slice(at)] })
  }
}

/**
 * Does every step that can be done, one by one, and passes over what is gone already: for undoing
 * and for DEL, which must succeed on missing things. Throws the first other error after the last step.
 */
export async function applyRemoval(
  run: Run,
  classifier: Classifier,
  steps: readonly Step[],
): Promise<void> {
  const errors: unknown[] = []
  for (const step of steps) {
    try {
      await applySteps(run, classifier, [step])
    } catch (error) {
      if (!(error instanceof CommandError && isGone(error.stderr))) errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

function renderInput(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`
}

// "Command failed -:3" names the line of the batch.
function findFailedLine(error: CommandError, lines: readonly string[]): number | undefined {
  const at = Number(/Command failed -:(\d+)/.exec(error.stderr)?.[1]) - 1
  return lines[at] === undefined ? undefined : at
}

// The reader wants the words of that line.
function toLineError(error: CommandError, batch: Batch, line: string): CommandError {
  const argv = [...toArgv(batch).slice(0, -2), ...line.split(' ')]
  return new CommandError(argv, error, { cause: error })
}
