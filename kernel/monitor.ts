// Hears what happens to links, and filters being lost: four children at most for as long as the process lives, iproute2's
// and nft's own monitors. What they lose is told, and one that ends is started again.
import type { ChildProcess } from 'node:child_process'
import { readFile, readdir, readlink } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import { newBackoff } from '../core/backoff.ts'
import { CommandError } from '../core/errors.ts'
import {
  isLoss,
  isTableLoss,
  parseLinkEvent,
  newFilterEvents,
  takeLines,
  type FilterEvent,
  type LinkEvent,
} from '../core/observe/kernel-event.ts'
import { parseHops } from '../core/observe/route-hops.ts'
import { startChild } from './child.ts'

export interface KernelListener {
  /** Of our own namespace and of all that it has a number for: those of pods with an end here are among them. */
  readonly onLink: (event: LinkEvent) => void
  /** Of a device of our own namespace. */
  readonly onFilter: (event: FilterEvent) => void
  /** A rule or a permission of our table is gone, and with it perhaps the table; undefined where there is none to be. */
  readonly onTableLoss: (() => void) | undefined
  /** An IPv6 route of several hops is there, or another one than before; undefined where that is nobody's concern. */
  readonly onHops: (() => void) | undefined
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
  const { onTableLoss, onHops } = listener
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
  const parseFilterEvent = newFilterEvents()
  const monitors = [
    heed(['ip', '-rcvbuf', `${RECEIVE_BYTES}`, '-o', 'monitor', 'link', 'all-nsid'], (line) => {
      const event = parseLinkEvent(line)
      if (event !== undefined) listener.onLink(event)
    }),
    heed(['tc', 'monitor'], (line) => {
      const event = parseFilterEvent(line)
      if (event !== undefined) listener.onFilter(event)
    }),
    // Of all tables: it knows no other filter (docs/decisions/0019).
    ...(onTableLoss === undefined
      ? []
      : [
          heed(['nft', 'monitor', 'destroy'], (line) => {
            if (isTableLoss(line)) onTableLoss()
          }),
        ]),
    ...(onHops === undefined
      ? []
      : [
          heed(['ip', '-rcvbuf', `${RECEIVE_BYTES}`, '-6', '-o', 'monitor', 'route'], (line) => {
            if (parseHops(line).size > 0) onHops()
          }),
        ]),
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
  const backoff = newBackoff(RETRY_FIRST_MS, RETRY_MOST_MS)
  for (;;) {
    const since = performance.now()
    const reason = await running.ended
    // One that begins well and ends at once must not be started five times a second for ever.
    if (performance.now() - since > RETRY_MOST_MS) backoff.reset()
    let next: Running | undefined
    while (next === undefined) {
      try {
        await sleep(backoff.next(), undefined, { signal: stopped })
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
  const running = await launch(monitor, stopped)
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

async function launch({ argv, onLine }: Monitor, stopped: AbortSignal): Promise<Running> {
  // Mortal: a killed process must not leave a listener behind.
  const child = await startChild(['setpriv', '--pdeathsig', 'KILL', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: stopped,
  })
  let lastComplaint = ''
  const ended = new Promise<CommandError>((resolve) => {
    child.on('close', (exitCode, signal) => {
      const how = { exitCode: exitCode ?? undefined, signal: signal ?? undefined }
      resolve(new CommandError(argv, { ...how, stderr: lastComplaint }))
    })
  })
  readLines(child.stdout, onLine)
  readLines(child.stderr, (line) => {
    lastComplaint = line
    // Whoever has lost one event gets no new ones until all old ones are read (netlink_overrun), and is
    // not told when that is. A new child hears at once.
    if (isLoss(line)) child.kill('SIGKILL')
  })
  return { child, ended }
}

function readLines(stream: Readable | null, onLine: (line: string) => void): void {
  let text = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
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
