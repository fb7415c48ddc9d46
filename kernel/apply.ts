// Carries steps out, a process per run of neighbours. iproute2's batch mode is no transaction: it
// stops at the failing line and names it, and what was done before stays done.
import { clearTheWay, renderBatches, toArgv, type Batch, type Classifier } from '../core/argv.ts'
import { CommandError } from '../core/errors.ts'
import type { Step } from '../core/step.ts'
import { hasIpv6 } from './ipv6.ts'
import { HOST_NETNS } from './netns.ts'
import type { Run } from './run.ts'

/** Does all steps in order. Throws the first CommandError; earlier steps stay done. */
export async function applySteps(
  run: Run,
  classifier: Classifier,
  steps: readonly Step[],
): Promise<void> {
  const options = { classifier, hostNetns: HOST_NETNS, hasIpv6: hasIpv6() }
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
      if (!isGone(error)) errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}

// What iproute2 6.x and nsenter say of a device, qdisc, filter or namespace that is not there. A tool
// that is missing or not allowed says something else, and that is no success.
const GONE = [
  /^Cannot find device/m,
  /^RTNETLINK answers: No such device/m,
  /^Error: Parent Qdisc doesn't exists/m,
  /^Error: Cannot find specified filter chain/m,
  /^Error: Filter with specified priority\/protocol not found/m,
  /^nsenter: cannot open .*: No such file or directory/m,
  /^nsenter: reassociate to namespace '.*' failed: Invalid argument/m,
]

function isGone(error: unknown): boolean {
  return error instanceof CommandError && GONE.some((said) => said.test(error.stderr))
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
