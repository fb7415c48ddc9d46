// kubectl-l2wire describe: everything about a wire, what is wrong with it, and the remedy.
import type { Command } from 'commander'

import { renderDescription, toDescription } from '../core/view/description.ts'
import { newOutputOption, printLines, printValue, type OutputFormat } from './output.ts'
import { getWire } from './place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from './place/place-options.ts'
import { withProgress } from './progress.ts'

interface DescribeFlags extends PlaceFlags {
  readonly output?: OutputFormat
}

export function addDescribeCommand(program: Command): void {
  const command = program
    .command('describe')
    .description('one wire in full: ends, path, counters, events, what is wrong and the remedy')
    .argument('<wire>', 'name of the wire')
    .addOption(newOutputOption())
  addPlaceOptions(command).action(runDescribe)
}

async function runDescribe(name: string, flags: DescribeFlags): Promise<void> {
  const place = newPlace(flags)
  const wire = await getWire(place, name)
  const [looks, surroundings] = await withProgress('looking at the nodes of the wire', async () =>
    Promise.all([place.look(wire), place.readSurroundings(wire)]),
  )
  const description = toDescription({ wire, looks, ...surroundings })
  if (flags.output !== undefined) await printValue(description, flags.output)
  else printLines(renderDescription(description, Date.now()).split('\n'))
}
