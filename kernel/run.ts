// Runs a short-lived child process to its end. Whoever asks, so many run at once and the others wait: each
// takes file descriptors, memory and a turn on the CPU, and a busy node asks for hundreds.
import { CommandError, DecodeError } from '../core/errors.ts'
import { newLimit } from '../core/limit.ts'
import { startChild } from './child.ts'

export interface RunOptions {
  /** Written to the child's standard input, which is then closed. */
  readonly input?: string | Uint8Array
  /** Milliseconds after which the child is killed; default 15,000. */
  readonly timeoutMs?: number
  /** The child's environment; default: nothing but PATH. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/**
 * Runs argv to its end and returns standard output. Throws CommandError unless the exit code is 0, DecodeError when it
 * says more than anybody reads.
 */
export type Run = (argv: readonly string[], options?: RunOptions) => Promise<string>

/** No child waits for another one to start, so none can keep the others out for ever. */
const AT_ONCE = 32

/** What a child may say. 2,500 devices of a pod are as much, and 32 at once are what an agent can bear; all wires of a large cluster are less. */
const SAID_BYTES_MAX = { inPod: 4 * 1024 * 1024, elsewhere: 256 * 1024 * 1024 } as const

const limit = newLimit(AT_ONCE)

export const run: Run = async (argv, options) => limit.inside(async () => runNow(argv, options))

const runNow: Run = async (argv, { input, timeoutMs = 15_000, env } = {}) => {
  const child = await startChild(argv, { stdio: ['pipe', 'pipe', 'pipe'], env })
  return new Promise((resolve, reject) => {
    // Not spawn's own timeout: that one keeps us when the child does not start (Node 24).
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    const out: Buffer[] = []
    const err: Buffer[] = []
    // In a pod's namespace there may be devices, addresses and routes without end: its owner makes them.
    const mostBytes = argv.includes('nsenter') ? SAID_BYTES_MAX.inPod : SAID_BYTES_MAX.elsewhere
    let saidBytes = 0
    for (const [stream, chunks] of [
      [child.stdout, out],
      [child.stderr, err],
    ] as const)
      stream?.on('data', (chunk: Buffer) => {
        saidBytes += chunk.length
        if (saidBytes <= mostBytes) chunks.push(chunk)
        else child.kill('SIGKILL')
      })
    // The child may end without reading its input; its exit code says more than our EPIPE.
    child.stdin?.on('error', () => undefined)
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer)
      if (saidBytes > mostBytes)
        reject(new DecodeError(argv.join(' '), 'longer', `at most ${mostBytes / 1024 / 1024} MB`))
      else if (exitCode === 0) resolve(Buffer.concat(out).toString('utf8'))
      else {
        const stderr = Buffer.concat(err).toString('utf8')
        reject(
          new CommandError(argv, {
            exitCode: exitCode ?? undefined,
            signal: signal ?? undefined,
            stderr,
          }),
        )
      }
    })
    child.stdin?.end(input)
  })
}

/** As run, and the child ends when we do: what a killed process has begun must not go on behind its successor. */
export const runMortal: Run = async (argv, options) =>
  run(['setpriv', '--pdeathsig', 'KILL', ...argv], options)
