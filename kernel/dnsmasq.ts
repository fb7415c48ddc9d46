// A DHCP server in a pod's network namespace: a child for as long as the process lives, of nobody's, with
// the three capabilities it needs.
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

import { parseDnsmasqLine } from '../core/dnsmasq-said.ts'
import { CommandError } from '../core/errors.ts'

export interface Dnsmasq {
  /** Why it ended. */
  readonly ended: Promise<CommandError>
  /** Whether it was ended because a lease stood in its client's way. */
  readonly isToForget: () => boolean
  /** Resolves when it is gone. Throws CommandError when the kernel refuses to end it. */
  readonly stop: () => Promise<void>
}

/** Its user and its group: the overflow id, which owns nothing. */
export const SERVER_ID = 65534
const NOBODY = String(SERVER_ID)
/** Ports below 1024, raw ICMPv6, and neighbours that it makes known to the kernel. */
const CAPABILITIES = '+net_admin,+net_raw,+net_bind_service'
/** How long it may take to begin. */
const START_MS = 5_000
/** Lines that are kept of what it says. */
const SAID_MAX = 20

export interface DnsmasqOrder {
  /** Of its configuration. */
  readonly lines: readonly string[]
  /** Where it is to keep leases: its standard output. */
  readonly leases: { readonly fd: number; readonly hasLeases: boolean } | undefined
  readonly signal: AbortSignal
}

/** Resolves once it serves. Throws CommandError when it ends before, is aborted, or takes too long. */
export async function startDnsmasq(
  netnsPath: string,
  { lines, leases, signal }: DnsmasqOrder,
): Promise<Dnsmasq> {
  const mortal = ['setpriv', '--pdeathsig', 'KILL']
  const capabilities = `-all,${CAPABILITIES}`
  const argv = [
    ...mortal,
    'nsenter',
    `--net=${netnsPath}`,
    // Again: the kernel forgets it when the user changes.
    ...mortal,
    '--reuid',
    NOBODY,
    '--regid',
    NOBODY,
    '--clear-groups',
    '--no-new-privs',
    '--inh-caps',
    capabilities,
    '--ambient-caps',
    capabilities,
    'dnsmasq',
    '--keep-in-foreground',
    '--conf-file=-',
    '--pid-file=',
    '--log-facility=-',
  ]
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    stdio: ['pipe', leases?.fd ?? 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  }) as ChildProcessByStdio<Writable, null, Readable>
  const said: string[] = []
  let hasGiven = leases?.hasLeases ?? false
  let isToForget = false
  const { promise: refused, resolve: refuse } = Promise.withResolvers<CommandError>()
  const ended = new Promise<CommandError>((resolve) => {
    child.on('error', (cause) => {
      // One that did not start never closes.
      if (child.pid === undefined)
        resolve(new CommandError(argv, { signal: 'none, it did not start', stderr: cause.message }))
      // It is another user's process: without CAP_KILL it stays.
      else
        refuse(
          new CommandError(argv, { signal: 'none, it cannot be ended', stderr: cause.message }),
        )
    })
    child.on('close', (exitCode, signal) => {
      const how = { exitCode: exitCode ?? undefined, signal: signal ?? undefined }
      resolve(new CommandError(argv, { ...how, stderr: said.join('\n') }))
    })
  })
  const kill = (): void => void child.kill('SIGKILL')
  const stop = async (): Promise<void> => {
    kill()
    const refusal = await Promise.race([ended.then(() => undefined), refused])
    if (refusal !== undefined) throw refusal
  }
  // Out of file descriptors (EMFILE) Node gives a child without any; its error has been seen to.
  if ((child.stderr as Readable | undefined) === undefined) throw await ended
  const begun = new Promise<undefined>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.splice(0, Math.max(0, said.length - SAID_MAX))
      said.push(line)
      const word = parseDnsmasqLine(line)
      if (word === 'started') resolve(undefined)
      else if (word === 'given') hasGiven = true
      // Of DHCPv6 leases, which are a client's and not a MAC's: one that a boot loader took is refused to
      // the system it loads, for ever. There is one VM, so what is known of leases can go.
      else if (word === 'refused' && hasGiven) {
        isToForget = true
        kill()
      }
    })
  })
  // It may end without reading its configuration; its exit code says more than our EPIPE.
  child.stdin.on('error', () => undefined)
  child.stdin.end(`${lines.join('\n')}\n`)
  const late = setTimeout(kill, START_MS)
  signal.addEventListener('abort', kill)
  const failure = await Promise.race([ended, refused, begun])
  signal.removeEventListener('abort', kill)
  clearTimeout(late)
  if (failure !== undefined) throw failure
  return { ended, isToForget: () => isToForget, stop }
}
