// The one place that starts a child process, short-lived or not. No shell, C locale, nothing of our own
// environment but PATH. One that does not start leaves nothing behind and is told as any other failure.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

import { newBackoff } from '../core/backoff.ts'
import { CommandError } from '../core/errors.ts'
import { hasRoomFor } from './open-files.ts'

export interface ChildOptions {
  readonly stdio: StdioOptions
  /** Default: nothing but PATH. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Kills it when aborted. */
  readonly signal?: AbortSignal
}

/** What there is no room for now there may be a moment later: file descriptors, processes, memory. */
const SHORT: readonly (string | undefined)[] = ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM']
/** How soon it is tried again, and for how long. */
const AGAIN_FIRST_MS = 20
const AGAIN_MOST_MS = 400
const PATIENCE_MS = 3_000
/** Of a child that starts: three pairs and one more, and what is opened meanwhile beside it. */
const FILES = 24
const DEFAULT_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

let tellLost: (error: Error) => void = () => undefined

/**
 * Out of file descriptors in the middle of a start, Node 24 gives a child without streams and keeps their
 * handles for ever; to close these corrupts its memory. So there is room before a start, and if it is not
 * enough this is told, once for each.
 */
export function onHandlesLost(tell: (error: Error) => void): void {
  tellLost = tell
}

/** Resolves once it runs, with nothing of what it does missed. Throws CommandError when it does not start. */
export async function startChild(
  argv: readonly string[],
  options: ChildOptions,
): Promise<ChildProcess> {
  const deadline = performance.now() + PATIENCE_MS
  const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
  for (;;)
    try {
      return await tryToStart(argv, options)
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      if (!SHORT.includes(code) || performance.now() > deadline || options.signal?.aborted === true)
        throw new CommandError(
          argv,
          { signal: 'none, it did not start', stderr: message },
          { cause },
        )
      await sleep(backoff.next())
    }
}

async function tryToStart(
  argv: readonly string[],
  { stdio, env = { PATH: process.env['PATH'] ?? DEFAULT_PATH }, signal }: ChildOptions,
): Promise<ChildProcess> {
  if (!hasRoomFor(FILES))
    throw Object.assign(new Error('Too many files are open, EMFILE'), { code: 'EMFILE' })
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio,
      // Messages are matched narrowly ("Cannot find device"), so they must not be translated.
      env: { ...env, LC_ALL: 'C' },
      ...(signal === undefined ? {} : { signal, killSignal: 'SIGKILL' as const }),
    })
    child.once('spawn', () => resolve(child))
    // It stays: what fails later, as a signal that is not allowed, is for whoever asks for it.
    child.on('error', (error) => {
      if ((child.stdio as unknown) === undefined) tellLost(error)
      reject(error)
    })
  })
}
