// kubectl-l2wire listen: tcpdump on a host end of this node, where both directions of a wire pass, until
// standard input ends. `capture` runs it on the end's node and holds that input open. However the capture or
// the connection to the node ends, nothing keeps listening here. It listens without promiscuous mode, so
// starting and stopping it changes nothing on the wire.
import { spawn } from 'node:child_process'

import type { Command } from 'commander'

import { CommandError } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import type { AttachmentId } from '../../core/wire/wire.ts'
import { addEndOption } from './end-option.ts'
import { OptionError } from '../option-error.ts'

/** A program that we ran has reported its error on standard error. */
export class SpokenError extends Error {
  override readonly name = 'SpokenError'
}

interface ListenFlags {
  readonly end: readonly AttachmentId[]
  readonly pcap?: boolean
  readonly count?: string
}

/** libpcap's ring has slots of this size: with larger ones few frames fit, and a burst overruns it. */
const SNAPLEN = 16_384

export function addListenCommand(program: Command): void {
  addEndOption(
    program
      .command('listen')
      .description('tcpdump on an end of this node, until standard input ends')
      .argument('[filter...]', 'a pcap filter, as for tcpdump')
      .option('--pcap', 'write pcap instead of text')
      .option('-c, --count <frames>', 'end after this many frames'),
  ).action(runListen)
}

async function runListen(filter: readonly string[], flags: ListenFlags): Promise<void> {
  const [end, ...more] = flags.end
  if (end === undefined || more.length > 0) throw new OptionError('--end', flags.end, 'one end')
  const device = toHostEndName(end.containerID, end.ifname)
  const output = (flags.pcap ?? false) ? ['-U', '-w', '-'] : ['-e', '-n', '-l']
  const count = flags.count === undefined ? [] : ['-c', flags.count]
  const listening = ['tcpdump', '-i', device, '-p', '-s', String(SNAPLEN), '--immediate-mode']
  // -Z: a pipe needs no other user, and that user may not exist.
  const argv = [...listening, '-Z', 'root', ...output, ...count, '--', ...filter]
  await runUntilInputEnds(argv)
}

async function runUntilInputEnds(argv: readonly string[]): Promise<void> {
  // If the listener is killed, its tcpdump dies with it.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  let isStopped = false
  const stop = (): void => {
    isStopped = true
    child.kill('SIGINT')
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  process.stdin.on('end', stop).on('error', stop).resume()
  try {
    await new Promise<void>((resolve, reject) => {
      child.on('error', (cause) => {
        reject(new CommandError(argv, { stderr: cause.message }, { cause }))
      })
      child.on('exit', (exitCode, signal) => {
        // A tcpdump that has not started yet does not handle the signal.
        if (exitCode === 0 || (isStopped && signal === 'SIGINT')) resolve()
        else reject(new SpokenError(`tcpdump: exit code ${exitCode ?? 'none'}`))
      })
    })
  } finally {
    // An input that is still open would keep the process alive.
    process.stdin.destroy()
  }
}
