// A DHCP server in a pod's network namespace: a child for as long as the process lives, of nobody's, with
// the three capabilities it needs.
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

import { CommandError } from '../core/errors.ts'

export interface Dnsmasq {
  /** Why it ended. */
  readonly ended: Promise<CommandError>
  /** Resolves when it is gone. */
  readonly stop: () => Promise<void>
}

/** The overflow id, which owns nothing. */
const NOBODY = '65534'
/** Ports below 1024, raw ICMPv6, and neighbours that it makes known to the kernel. */
const CAPABILITIES = '+net_admin,+net_raw,+net_bind_service'
/** How long it may take to begin. */
const START_MS = 5_000
/** What is kept of what it says. */
const SAID_MAX = 4096

/** Resolves once it serves. Throws CommandError when it ends before, or takes too long. */
export async function startDnsmasq(netnsPath: string, lines: readonly string[]): Promise<Dnsmasq> {
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
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  })
  let said = ''
  const ended = new Promise<CommandError>((resolve) => {
    child.on('error', (cause) => {
      // One that did not start never closes.
      if (child.pid === undefined)
        resolve(new CommandError(argv, { signal: 'none, it did not start', stderr: cause.message }))
    })
    child.on('close', (exitCode, signal) =>
      resolve(
        new CommandError(argv, {
          exitCode: exitCode ?? undefined,
          signal: signal ?? undefined,
          stderr: said,
        }),
      ),
    )
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  // Out of file descriptors (EMFILE) Node gives a child without any; its error has been seen to.
  if ((child.stderr as Readable | undefined) === undefined) throw await ended
  const begun = new Promise<undefined>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_MAX)
      if (/: started, version /.test(said)) resolve(undefined)
    })
  })
  // It may end without reading its configuration; its exit code says more than our EPIPE.
  child.stdin.on('error', () => undefined)
  child.stdin.end(`${lines.join('\n')}\n`)
  const late = setTimeout(() => child.kill('SIGKILL'), START_MS)
  const failure = await Promise.race([ended, begun])
  clearTimeout(late)
  if (failure !== undefined) throw failure
  return { ended, stop }
}
