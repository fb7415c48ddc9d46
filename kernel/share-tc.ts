// Each process of tc first reads all links that there are: with a thousand of them that is most of what it
// does. So one runs at a time for our own namespace, and what is asked for meanwhile, by whichever wires, goes
// together into the next.
import { CommandError } from '../core/errors.ts'
import type { Run } from './run.ts'

const TC = ['tc', '-batch', '-'] as const
/** Askers of one process: if it is killed, none of them knows what was done. */
const MOST = 32

interface Asked {
  readonly input: string
  readonly resolve: (output: string) => void
  readonly reject: (error: unknown) => void
}

/** As run. Batches of tc stay what they are to those who ask: each ends at its own failing line, or is done. */
export function shareTc(run: Run): Run {
  const waiting: Asked[] = []
  let isRunning = false
  const work = async (): Promise<void> => {
    isRunning = true
    while (waiting.length > 0) {
      const together = waiting.splice(0, MOST)
      await runTogether(run, together)
    }
    isRunning = false
  }
  return async (argv, options = {}) => {
    const { input, ...others } = options
    const isOurs = argv.join(' ') === TC.join(' ') && Object.keys(others).length === 0
    if (!isOurs || typeof input !== 'string') return run(argv, options)
    return new Promise((resolve, reject) => {
      waiting.push({ input, resolve, reject })
      if (!isRunning) void work()
    })
  }
}

/** Never throws: each is told of its own. */
async function runTogether(run: Run, asked: readonly Asked[]): Promise<void> {
  let left = asked
  while (left.length > 0)
    try {
      await run(TC, { input: left.map(({ input }) => input).join('') })
      for (const { resolve } of left) resolve('')
      return
    } catch (error) {
      left = tell(left, error)
    }
}

/** Tells those that are done and the one that failed; returns those that tc did not come to. */
function tell(asked: readonly Asked[], error: unknown): readonly Asked[] {
  const line = error instanceof CommandError ? readFailedLine(error) : undefined
  let before = 0
  for (const [at, { input, reject }] of asked.entries()) {
    const count = input.split('\n').length - 1
    if (line !== undefined && line <= before + count) {
      for (const { resolve } of asked.slice(0, at)) resolve('')
      reject(toOwnLine(error as CommandError, line - before))
      return asked.slice(at + 1)
    }
    before += count
  }
  // Not about a line: it did not start, or was killed.
  for (const { reject } of asked) reject(error)
  return []
}

const FAILED = /Command failed -:(\d+)/

function readFailedLine({ stderr }: CommandError): number | undefined {
  const line = FAILED.exec(stderr)?.[1]
  return line === undefined ? undefined : Number(line)
}

// As if tc had been run for the asker alone.
function toOwnLine({ argv, exitCode, signal, stderr }: CommandError, line: number): CommandError {
  const said = stderr.replace(FAILED, `Command failed -:${line}`)
  return new CommandError(argv, { exitCode, signal, stderr: said })
}
