// Ahead of everything else on the machine: two processes that hand frames to each other measure the scheduler
// where other work comes between them, and a ratio of two such figures means nothing.
import { CommandError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'

export interface Priority extends AsyncDisposable {
  /** Not where the machine does not let us. */
  readonly isReal: boolean
}

/** Real-time priority for this process and what it starts, until disposed. */
export async function takePriority(): Promise<Priority> {
  const pid = String(process.pid)
  try {
    await run(['chrt', '--fifo', '--pid', '1', pid])
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return { isReal: false, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  return {
    isReal: true,
    [Symbol.asyncDispose]: async () => {
      await run(['chrt', '--other', '--pid', '0', pid])
    },
  }
}
