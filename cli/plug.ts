// kubectl-l2wire unplug and plug: takes a cable out and puts it back, as by hand; no pod is touched.
import { setTimeout as sleep } from 'node:timers/promises'

import { InvalidArgumentError, type Command } from 'commander'

import { decodeName } from '../core/cni/config.ts'
import { DecodeError } from '../core/errors.ts'
import { describePlugging, listLaggards } from '../core/wire/plug-status.ts'
import { toWireKey, type Wire } from '../core/wire/wire.ts'
import { CliError } from './cli-error.ts'
import { OptionError } from './option-error.ts'
import { printLines } from './output.ts'
import { getWire, type Place } from './place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from './place/place-options.ts'
import { withProgress } from './progress.ts'
import { newSwitchOption } from './switch-option.ts'

interface PlugFlags extends PlaceFlags {
  readonly wait: 'true' | 'false'
  readonly timeout: number
}

const POLL_MS = 200

export function addPlugCommands(program: Command): void {
  addCommand(
    program,
    'unplug',
    'take the cable out: both ends lose their carrier, until it is put back',
  )
    .addHelpText(
      'after',
      '\nThe wire need not exist yet: whoever plugs in then finds the cable out.\nExample: kubectl l2wire unplug r1-r2',
    )
    .action(async (name: string, flags: PlugFlags) => runPlug(name, flags, true))
  addCommand(program, 'plug', 'put the cable back that was taken out').action(
    async (name: string, flags: PlugFlags) => runPlug(name, flags, false),
  )
}

function addCommand(program: Command, name: string, description: string): Command {
  const command = program
    .command(name)
    .description(description)
    .argument('<wire>', 'name of the wire')
    .addOption(newSwitchOption('wait', 'wait until the nodes of its ends have done it'))
    .option('--timeout <seconds>', 'how long to wait for them', toSeconds, 10)
  return addPlaceOptions(command)
}

async function runPlug(name: string, flags: PlugFlags, isUnplugged: boolean): Promise<void> {
  const place = newPlace(flags)
  const id = { namespace: await place.readNamespace(), name: toName(name) }
  const before = isUnplugged ? undefined : await getWire(place, name)
  if (before?.isUnplugged === false) {
    printLines([`wire ${toWireKey(id)} is not unplugged: ${describePlugging(before)}`])
    return
  }
  const changed = await place.setUnplugged(id, isUnplugged)
  const reached =
    changed === undefined || flags.wait === 'false'
      ? changed
      : await withProgress('waiting for its nodes', async () =>
          waitForNodes(place, changed, flags.timeout),
        )
  printLines([`wire ${toWireKey(id)} ${describePlugging(reached)}`])
}

function toName(name: string): string {
  try {
    return decodeName(name, 'wire')
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new OptionError(
      'wire',
      name,
      'letters, digits, "_", "." or "-", and first a letter or digit',
      { cause },
    )
  }
}

// Whoever takes it out wants to know it out. A wire that goes meanwhile needs no more waiting.
async function waitForNodes(place: Place, wire: Wire, seconds: number): Promise<Wire | undefined> {
  const deadline = Date.now() + seconds * 1000
  let reached: Wire | undefined = wire
  for (;;) {
    const laggards = reached === undefined ? [] : listLaggards(reached)
    if (reached?.isUnplugged !== wire.isUnplugged || laggards.length === 0) return reached
    if (Date.now() >= deadline) throw newLateError(reached, laggards, seconds)
    await sleep(POLL_MS)
    reached = await place.read(wire)
  }
}

function newLateError(wire: Wire, laggards: readonly string[], seconds: number): CliError {
  const failed = wire.reports.find(
    ({ node, state }) => state === 'failed' && laggards.includes(node),
  )
  const why = failed?.message === undefined ? '' : ` (${failed.message})`
  const done = wire.isUnplugged ? 'unplugged' : 'plugged in'
  return new CliError(
    `Wire ${toWireKey(wire)} is to be ${done}, but after ${seconds} s node ${laggards.join(' and ')} has not said that it did it${why}: kubectl l2wire describe ${wire.name} -n ${wire.namespace}`,
  )
}

function toSeconds(text: string): number {
  const seconds = Number(/^(\d+(?:\.\d+)?)s?$/.exec(text)?.[1] ?? NaN)
  if (Number.isFinite(seconds)) return seconds
  throw new InvalidArgumentError('expected seconds, like 10 or 10s')
}
