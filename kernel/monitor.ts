// Hears what happens to links, and filters being lost: two children for as long as the process lives, iproute2's
// own monitors. What they lose is told, and one that ends is started again.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFile, readdir, readlink } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { CommandError } from '../core/errors.ts'
import {
  isLoss,
  parseFilterLoss,
  parseLinkEvent,
  takeLines,
  type LinkEvent,
} from '../core/kernel-event.ts'

export interface KernelListener {
  /** Of our own namespace and of all that it has a number for: those of pods with an end here are among them. */
  readonly onLink: (event: LinkEvent) => void
  /** The device, of our own namespace, that lost filters. */
  readonly onFilterLoss: (dev: string) => void
  /**
   * Events may have been lost: only a look at everything finds what they were about. Told once we hear
   * again, and at each vain attempt to, so that who can hear nothing still looks now and then.
   */
  readonly onGap: (reason: string) => void
}

const RETRY_FIRST_MS = 200
const RETRY_MOST_MS = 10_000
/** How long a child may take to begin. */
const START_MS = 5_000
const POLL_MS = 5
// A node that starts a hundred pods at once makes thousands of events. The kernel gives what
// net.core.rmem_max allows.
const RECEIVE_BYTES = 8 * 1024 * 1024

interface Monitor {
  readonly argv: readonly string[]
  readonly onLine: (line: string) => void
  readonly onGap: (reason: Error) => void
}

interface Running {
  readonly child: ChildProcess
  /** Why it ended. */
  readonly ended: Promise<CommandError>
}

/** Resolves once everything from now on is heard. Throws CommandError when a monitor does not start. */
export async function watchKernel(listener: KernelListener): Promise<AsyncDisposable> {
  const stopped = new AbortController()
  const heed = (argv: readonly string[], onLine: (line: string) => void): Monitor => ({
    argv,
    onLine: (line) => {
      if (!stopped.signal.aborted) onLine(line)
    },
    onGap: ({ message }) => {
      if (!stopped.signal.aborted) listener.onGap(message)
    },
  })
  const monitors = [
    heed(['ip', '-rcvbuf', `${RECEIVE_BYTES}`, '-o', 'monitor', 'link', 'all-nsid'], (line) => {
      const event = parseLinkEvent(line)
      if (event !== undefined) listener.onLink(event)
    }),
    heed(['tc', 'monitor'], (line) => {
      const dev = parseFilterLoss(line)
      if (dev !== undefined) listener.onFilterLoss(dev)
    }),
  ]
  const starts = await Promise.allSettled(
    monitors.map(async (monitor) => start(monitor, stopped.signal)),
  )
  const kept = starts.flatMap((begun, at) => {
    const monitor = monitors[at]
    return begun.status === 'rejected' || monitor === undefined
      ? []
      : [keep(monitor, begun.value, stopped.signal)]
  })
  const stop = async (): Promise<void> => {
    stopped.abort()
    await Promise.all(kept)
  }
  const failed = starts.find((begun) => begun.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason
  }
  return { [Symbol.asyncDispose]: stop }
}

/** Starts it again whenever it ends, until stopped; resolves when the last child is gone. */
async function keep(monitor: Monitor, first: Running, stopped: AbortSignal): Promise<void> {
  let running = first
  let waitMs = RETRY_FIRST_MS
  for (;;) {
    const since = performance.now()
    const reason = await running.ended
    // One that begins well and ends at once must not be started five times a second for ever.
    if (performance.now() - since > RETRY_MOST_MS) waitMs = RETRY_FIRST_MS
    let next: Running | undefined
    while (next === undefined) {
      try {
        await sleep(waitMs, undefined, { signal: stopped })
        waitMs = Math.min(waitMs * 2, RETRY_MOST_MS)
        next = await start(monitor, stopped)
      } catch (error) {
        if (stopped.aborted) return
        // Whatever keeps it from starting: who hears nothing must look, and try again.
        monitor.onGap(error instanceof Error ? error : new Error(String(error)))
      }
    }
    running = next
    monitor.onGap(reason)
  }
}

/** Resolves once the child listens. Throws CommandError when it ends before, or takes too long. */
async function start(monitor: Monitor, stopped: AbortSignal): Promise<Running> {
  const running = launch(monitor, stopped)
  const heard = new AbortController()
  const late = setTimeout(() => running.child.kill('SIGKILL'), START_MS)
  try {
    const failure = await Promise.race([
      running.ended,
      untilListening(running.child.pid, heard.signal),
    ])
    if (failure !== undefined) throw failure
    return running
  } finally {
    heard.abort()
    clearTimeout(late)
  }
}

function launch({ argv, onLine }: Monitor, stopped: AbortSignal): Running {
  // Mortal: a killed process must not leave a listener behind.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    signal: stopped,
    killSignal: 'SIGKILL',
  })
  let lastComplaint = ''
  const ended = new Promise<CommandError>((resolve) => {
    let cause: Error | undefined
    const toEnd = (exitCode: number | null, signal: string | null): CommandError =>
      new CommandError(argv, {
        exitCode: exitCode ?? undefined,
        signal: cause === undefined ? (signal ?? undefined) : 'none, it did not start',
        stderr: cause === undefined ? lastComplaint : cause.message,
      })
    child.on('error', (error) => {
      cause = error
      // One that did not start never closes.
      if (child.pid === undefined) resolve(toEnd(null, null))
    })
    child.on('close', (exitCode, signal) => resolve(toEnd(exitCode, signal)))
  })
  // Out of file descriptors (EMFILE) Node gives a child without any, whose error follows.
  if ((child.stdout as Readable | undefined) !== undefined) {
    readLines(child.stdout, onLine)
    readLines(child.stderr, (line) => {
      lastComplaint = line
      // Whoever has lost one event gets no new ones until all old ones are read (netlink_overrun), and is
      // not told when that is. A new child hears at once.
      if (isLoss(line)) child.kill('SIGKILL')
    })
  }
  return { child, ended }
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const { lines, rest } = takeLines(text + chunk)
    text = rest
    for (const line of lines) onLine(line)
  })
}

/** Resolves once the process hears a group of netlink and waits for what it says. */
async function untilListening(pid: number | undefined, given: AbortSignal): Promise<undefined> {
  while (!given.aborted) {
    if (pid !== undefined && (await isListening(pid))) return undefined
    await sleep(POLL_MS)
  }
}

// By the sockets it has open: only the first of a process has the process's id as its port, and tc
// listens on its second. It joins the group first and asks for all namespaces then, hence "asleep".
async function isListening(pid: number): Promise<boolean> {
  try {
    const [table, stat, files] = await Promise.all([
      readFile(`/proc/${pid}/net/netlink`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readdir(`/proc/${pid}/fd`),
    ])
    if (!/\) S /.test(stat)) return false
    const targets = await Promise.all(
      files.map(async (file) => readlink(`/proc/${pid}/fd/${file}`)),
    )
    const open = new Set(targets.map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]))
    return table.split('\n').some((row) => {
      const [, , , groups = '', , , , , , inode] = row.trim().split(/\s+/)
      return /[1-9a-f]/.test(groups) && open.has(inode)
    })
  } catch {
    // It ends, or closes a file, while we look.
    return false
  }
}
