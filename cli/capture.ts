// kubectl-l2wire capture: both directions of a wire, heard at one of its ends, wherever that is.
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'

import { InvalidArgumentError, type Command } from 'commander'

import { DecodeError } from '../core/errors.ts'
import { describeEnd, toAttachmentKey, toWireKey, type EndClaim, type Wire } from '../core/wire.ts'
import type { NodeLook } from '../core/wire-facts.ts'
import { CliError } from './cli-error.ts'
import { SpokenError } from './listen.ts'
import { getWire, toEndArgs } from './place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from './place-options.ts'

interface CaptureFlags extends PlaceFlags {
  readonly write?: string
  readonly count?: string
}

export function addCaptureCommand(program: Command): void {
  const command = program
    .command('capture')
    .description('listen to a wire, both directions, until Ctrl-C')
    .argument('<wire>', 'name of the wire')
    .argument('[filter...]', 'a pcap filter, as for tcpdump')
    .option('-w, --write <file>', 'write pcap to a file, "-" for standard output')
    .option('-c, --count <frames>', 'end after this many frames', toCount)
  addPlaceOptions(command)
    .addHelpText('after', '\nExample: kubectl l2wire capture r1-r2 -w - | wireshark -k -i -')
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
  const place = newPlace(flags)
  const wire = await getWire(place, name)
  const end = getAudibleEnd(wire, await place.look(wire))
  const { write, count } = flags
  const output = write === undefined ? [] : ['--pcap']
  const limit = count === undefined ? [] : ['--count', count]
  const nodeArgv = await place.toNodeArgv(end.node)
  const argv = [...nodeArgv, 'listen', ...toEndArgs([end]), ...output, ...limit, '--', ...filter]
  process.stderr.write(
    `wire ${toWireKey(wire)} at the end of ${describeEnd(end)} on node ${end.node}\n`,
  )
  await runAttached(argv, write)
}

// Either end hears both directions; the nodes of some may not be within reach.
function getAudibleEnd(wire: Wire, looks: readonly NodeLook[]): EndClaim {
  const found = wire.ends.flatMap((end) => {
    const look = looks.find(({ node }) => node === end.node)
    const one = look?.inspection?.ends.find(
      (other) => toAttachmentKey(other) === toAttachmentKey(end),
    )
    const hostEnd = one?.hostEnd ?? undefined
    return hostEnd === undefined ? [] : [{ end, isUp: hostEnd.isUp }]
  })
  const audible = found.find(({ isUp }) => isUp)
  if (audible !== undefined) return audible.end
  const ends = wire.ends.map(describeEnd).join(' and ')
  if (found.length > 0)
    throw new DecodeError(
      'wire',
      toWireKey(wire),
      `one with both ends plugged in; ${ends} is all there is, and nothing to listen to`,
    )
  const faults = looks.map(({ node, fault }) => `${node}: ${fault ?? 'its host end is gone'}`)
  throw new CliError(
    `Cannot listen to wire "${toWireKey(wire)}", its ends: ${ends}. No node of it can be reached: ${faults.join('; ')}`,
  )
}

async function runAttached(argv: readonly string[], write: string | undefined): Promise<void> {
  await using file = write === undefined || write === '-' ? undefined : await open(write, 'w')
  const [command = '', ...args] = argv
  const child = spawn(command, args, {
    stdio: ['pipe', file?.fd ?? 'inherit', 'inherit'],
    // Ctrl-C is for us. We end the listener's input, it ends its tcpdump, and what that has to say
    // at its end still comes through.
    detached: true,
  })
  const stop = (): void => {
    child.stdin?.end()
  }
  child.stdin?.on('error', () => undefined)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('exit', resolve)
    child.on('error', (cause) => {
      reject(new CliError(`Cannot start "${command}": ${cause.message}`, { cause }))
    })
  })
  if (exitCode !== 0) throw new SpokenError(`the listener ended with code ${exitCode ?? 'none'}`)
}
