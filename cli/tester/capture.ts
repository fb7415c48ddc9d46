// kubectl-l2wire capture: listens to both directions of a wire at one of its ends, on any node.
import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'

import { InvalidArgumentError, type Command } from 'commander'

import { DecodeError } from '../../core/errors.ts'
import {
  ENDS_PER_WIRE,
  describeEnd,
  toWireKey,
  type EndClaim,
  type Wire,
} from '../../core/wire/wire.ts'
import { isFarEndUp } from '../../core/wire/facts.ts'
import { CliError } from '../cli-error.ts'
import { SpokenError } from './listen.ts'
import { tell } from '../output.ts'
import { getWire, toEndArgs, type Place } from '../place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from '../place/place-options.ts'

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
  const { end, nodeArgv } = await findAudibleEnd(place, wire)
  const { write, count } = flags
  const output = write === undefined ? [] : ['--pcap']
  const limit = count === undefined ? [] : ['--count', count]
  const argv = [...nodeArgv, 'listen', ...toEndArgs([end]), ...output, ...limit, '--', ...filter]
  tell(`wire ${toWireKey(wire)} at the end of ${describeEnd(end)} on node ${end.node}`)
  await runAttached(argv, write)
}

interface AudibleEnd {
  readonly end: EndClaim
  /** What runs kubectl-l2wire on its node. */
  readonly nodeArgv: readonly string[]
}

// Both directions pass at either end, whatever its agent does. The nodes of some ends may not be reachable.
async function findAudibleEnd(place: Place, wire: Wire): Promise<AudibleEnd> {
  const ends = wire.ends.map(describeEnd).join(' and ')
  const isJoined = wire.ends.length === ENDS_PER_WIRE && !wire.isUnplugged
  const audible = isJoined ? wire.ends.filter((end) => isFarEndUp(wire, end)) : []
  if (audible.length === 0)
    throw new DecodeError(
      'wire',
      toWireKey(wire),
      `one with both ends plugged in; ${ends} is all there is, and nothing to listen to`,
    )
  const reasons: string[] = []
  for (const end of audible)
    try {
      if (place.isWithinReach(end)) return { end, nodeArgv: await place.toNodeArgv(end.node) }
      reasons.push(`${end.node}: no device of the wire is on this machine`)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      reasons.push(`${end.node}: ${error.message}`)
    }
  throw new CliError(
    `Cannot listen to wire "${toWireKey(wire)}", its ends: ${ends}. No node of it can be reached: ${reasons.join('; ')}`,
  )
}

async function runAttached(argv: readonly string[], write: string | undefined): Promise<void> {
  await using file = write === undefined || write === '-' ? undefined : await open(write, 'w')
  const [command = '', ...args] = argv
  const child = spawn(command, args, {
    stdio: ['pipe', file?.fd ?? 'inherit', 'inherit'],
    // Ctrl-C ends only us. We close the listener's input, it ends its tcpdump, and tcpdump's last output still
    // arrives.
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
