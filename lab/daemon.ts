// A long-lived child process of a test. It keeps its output, and ends with this process.
import { spawn, type ChildProcess } from 'node:child_process'

export interface Daemon {
  readonly pid: number
  readonly ended: Promise<void>
  /** Throws with its last output if the process has ended. */
  readonly expectAlive: () => void
  readonly readLog: () => string
  readonly signal: (signal: NodeJS.Signals) => void
  /** Sends the signal and waits for the end. Does nothing if it has ended. */
  readonly end: (signal: NodeJS.Signals) => Promise<void>
}

const LAST_WORDS = 2000

export function startDaemon(
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Daemon {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C ends only us. The tested program may still need it to clean up.
    detached: true,
    env: { ...process.env, ...env },
  })
  const ended = new Promise<void>((resolve) => {
    child.on('error', () => resolve())
    child.on('exit', () => resolve())
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log += text))
  child.on('error', (error) => (log += error.message))
  return {
    // 0 if it did not start, which expectAlive reports.
    pid: child.pid ?? 0,
    ended,
    expectAlive: () => {
      if (hasEnded(child))
        throw new Error(`"${argv.join(' ')}" has ended: ${log.slice(-LAST_WORDS)}`)
    },
    readLog: () => log,
    signal: (signal) => {
      child.kill(signal)
    },
    end: async (signal) => {
      if (hasEnded(child)) return
      child.kill(signal)
      await ended
    },
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
