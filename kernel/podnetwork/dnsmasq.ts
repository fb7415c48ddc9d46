// Runs a DHCP server in a pod's network namespace: a child that lives as long as this process, as user nobody,
// with the three capabilities that it needs.
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

import { parseDnsmasqLine } from '../../core/podnetwork/dnsmasq-log.ts'
import type { Stuck } from '../../core/podnetwork/server-life.ts'
import { CommandError } from '../../core/errors.ts'
import { startChild } from '../child.ts'

export interface Dnsmasq {
  /** The reason why it ended. */
  readonly ended: Promise<CommandError>
  /** Resolves when it is gone. Throws CommandError if the kernel refuses to end it. */
  readonly stop: () => Promise<void>
}

/** Its user and its group: the overflow ID, which owns nothing. */
export const SERVER_ID = 65534
const NOBODY = String(SERVER_ID)
/** For ports below 1024, raw ICMPv6, and entries in the kernel's neighbour table. */
const CAPABILITIES = '+net_admin,+net_raw,+net_bind_service'
/** The time limit for its start. */
const START_MS = 5_000
/** How many lines of its standard error we keep. */
const SAID_MAX = 20

export interface DnsmasqOrder {
  /** Lines of its configuration. */
  readonly lines: readonly string[]
  /** Where it keeps leases: its standard output. */
  readonly leases: { readonly fd: number; readonly hasLeases: boolean } | undefined
  readonly signal: AbortSignal
  /** It will give its client no address until it restarts. */
  readonly onStuck: (why: Stuck) => void
}

/** Resolves once it serves. Throws CommandError if it ends before, is aborted, or takes too long. */
export async function startDnsmasq(
  netnsPath: string,
  { lines, leases, signal, onStuck }: DnsmasqOrder,
): Promise<Dnsmasq> {
  const mortal = ['setpriv', '--pdeathsig', 'KILL']
  const capabilities = `-all,${CAPABILITIES}`
  const argv = [
    ...mortal,
    'nsenter',
    `--net=${netnsPath}`,
    // Repeated, because the kernel clears this when the user changes.
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
  const child = await startChild(argv, { stdio: ['pipe', leases?.fd ?? 'ignore', 'pipe'] })
  const said: string[] = []
  let hasGiven = leases?.hasLeases ?? false
  const { promise: refused, resolve: refuse } = Promise.withResolvers<CommandError>()
  const ended = new Promise<CommandError>((resolve) => {
    // It belongs to another user. Without CAP_KILL we cannot end it.
    child.on('error', ({ message }) => {
      refuse(new CommandError(argv, { signal: 'none, it cannot be ended', stderr: message }))
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
  const begun = new Promise<undefined>((resolve) => {
    createInterface({ input: child.stderr as Readable }).on('line', (line) => {
      said.splice(0, Math.max(0, said.length - SAID_MAX))
      said.push(line)
      const word = parseDnsmasqLine(line)
      if (word === 'started') resolve(undefined)
      else if (word === 'given') hasGiven = true
      else if (word === 'declined') onStuck('declined')
      // DHCPv6 leases belong to a client ID and not to a MAC. dnsmasq never gives a boot loader's lease to the
      // system that it loads. There is one VM, so we may delete all leases.
      else if (word === 'refused' && hasGiven) onStuck('given-away')
    })
  })
  // It may end without reading its configuration. Its exit code is more useful than our EPIPE.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(`${lines.join('\n')}\n`)
  const late = setTimeout(kill, START_MS)
  signal.addEventListener('abort', kill)
  if (signal.aborted) kill()
  const failure = await Promise.race([ended, refused, begun])
  signal.removeEventListener('abort', kill)
  clearTimeout(late)
  if (failure !== undefined) throw failure
  return { ended, stop }
}
