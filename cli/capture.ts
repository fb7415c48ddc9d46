// kubectl-l2wire capture: tcpdump on the host end of a wire, where both directions pass. It listens
// without promiscuous mode, so starting and stopping it changes nothing on the wire.
import { spawn } from 'node:child_process'

import { InvalidArgumentError, type Command } from 'commander'

import { DecodeError, CommandError } from '../core/errors.ts'
import { toHostDeviceName } from '../core/name.ts'
import { describeEnd, toWireKey, type EndClaim, type Wire } from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import { OptionError } from './option-error.ts'
import { decodeFileUrl } from '../store/file-url.ts'
import { newFileStore } from '../store/file-store.ts'

/** tcpdump has said on standard error what is wrong. */
export class SpokenError extends Error {}

interface CaptureFlags {
  readonly store: string
  readonly namespace: string
  readonly write?: string
  readonly count?: string
}

export function addCaptureCommand(program: Command): void {
  program
    .command('capture')
    .description('listen to a wire on this node, both directions, until Ctrl-C')
    .argument('<wire>', 'name of the wire')
    .argument('[filter...]', 'a pcap filter, as for tcpdump')
    .requiredOption('--store <url>', 'where wires are kept: file:///DIR')
    .option('-n, --namespace <namespace>', 'namespace of the wire', 'default')
    .option('-w, --write <file>', 'write pcap to a file, "-" for standard output')
    .option('-c, --count <frames>', 'end after this many frames', toCount)
    .action(runCapture)
}

function toCount(text: string): string {
  if (/^[1-9]\d*$/.test(text)) return text
  throw new InvalidArgumentError('expected a whole number, 1 or more')
}

async function runCapture(
  name: string,
  filter: readonly string[],
  flags: CaptureFlags,
): Promise<void> {
  const id = { namespace: flags.namespace, name }
  const wire = await newFileStore(decodeStore(flags.store)).read(id)
  if (wire === undefined)
    throw new DecodeError('wire', toWireKey(id), `a wire that is plugged in, in "${flags.store}"`)
  const { end, isUp } = await getLocalEnd(wire)
  if (!isUp)
    throw new DecodeError(
      'wire',
      toWireKey(wire),
      `one with both ends plugged in; ${wire.ends.map(describeEnd).join(' and ')} is all there is, and nothing to listen to`,
    )
  const device = toHostDeviceName(end.containerID, end.ifname)
  process.stderr.write(`wire ${toWireKey(wire)} at the end of ${describeEnd(end)}\n`)
  const output = flags.write === undefined ? ['-e', '-n', '-l'] : ['-U', '-w', flags.write]
  const count = flags.count === undefined ? [] : ['-c', flags.count]
  // A capture that is killed takes its tcpdump along.
  const argv = [
    'setpriv',
    '--pdeathsig',
    'KILL',
    'tcpdump',
    '-i',
    device,
    '-p',
    '-s',
    '0',
    '--immediate-mode',
    '-Z',
    'root',
  ]
  await runAttached([...argv, ...output, ...count, ...filter])
}

function decodeStore(url: string): string {
  try {
    return decodeFileUrl(url)
  } catch (cause) {
    throw new OptionError('--store', url, 'file:///DIR', { cause })
  }
}

// Either end shows both directions; the other one may be on another node.
async function getLocalEnd(wire: Wire): Promise<{ end: EndClaim; isUp: boolean }> {
  const devices = wire.ends.map((end) => toHostDeviceName(end.containerID, end.ifname))
  const observed = await observeLinks(devices)
  for (const [at, end] of wire.ends.entries()) {
    const link = observed.get(devices[at] ?? '')
    if (link !== undefined) return { end, isUp: link.isUp }
  }
  const ends = wire.ends.map((claim) => `${describeEnd(claim)} on ${claim.node}`)
  throw new DecodeError(
    'wire',
    toWireKey(wire),
    `one with an end on this node, its ends: ${ends.join(', ')}`,
  )
}

async function runAttached(argv: readonly string[]): Promise<void> {
  const [file = '', ...args] = argv
  const child = spawn(file, args, { stdio: 'inherit' })
  // On Ctrl-C a terminal tells tcpdump too, and twice does no harm; we wait and report how it ended.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => child.kill('SIGINT'))
  await new Promise<void>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new CommandError(argv, { stderr: cause.message }, { cause }))
    })
    child.on('exit', (exitCode) => {
      if (exitCode === 0) resolve()
      else reject(new SpokenError(`tcpdump: exit code ${exitCode ?? 'none'}`))
    })
  })
}
