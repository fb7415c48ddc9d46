// The one place that starts a short-lived child process. No shell, C locale, stderr kept.
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

import { CommandError } from '../core/errors.ts'

export interface RunOptions {
  /** Written to the child's standard input, which is then closed. */
  readonly input?: string | Uint8Array
  /** Milliseconds after which the child is killed; default 15,000. */
  readonly timeoutMs?: number
  /** The child's environment; default: nothing but PATH. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Runs argv to its end and returns standard output. Throws CommandError unless the exit code is 0. */
export type Run = (argv: readonly string[], options?: RunOptions) => Promise<string>

export const run: Run = async (argv, options = {}) => {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Messages are matched narrowly ("Cannot find device"), so they must not be translated.
      env: {
        ...(options.env ?? { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' }),
        LC_ALL: 'C',
      },
    })
    const refuse = (cause: Error): void =>
      reject(
        new CommandError(
          argv,
          { signal: 'none, it did not start', stderr: cause.message },
          { cause },
        ),
      )
    child.on('error', refuse)
    // Out of file descriptors (EMFILE) Node gives a child without any; its error follows.
    if ((child.stdout as Readable | undefined) === undefined) return
    // Not spawn's own timeout: that one keeps us when the child does not start (Node 24).
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 15_000)
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    // The child may end without reading its input; its exit code says more than our EPIPE.
    child.stdin.on('error', () => undefined)
    child.on('error', () => clearTimeout(timer))
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer)
      if (exitCode === 0) resolve(Buffer.concat(out).toString('utf8'))
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
    child.stdin.end(options.input)
  })
}

/** As run, and the child ends when we do: what a killed process has begun must not go on behind its successor. */
export const runMortal: Run = async (argv, options) =>
  run(['setpriv', '--pdeathsig', 'KILL', ...argv], options)
