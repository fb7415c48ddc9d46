// kubectl-l2wire get: the wires of a namespace, as a table or for programs.
import type { Command } from 'commander'

import { renderList, toListedWire } from '../core/view/list.ts'
import { newOutputOption, printLines, printValue, tell, type OutputFormat } from './output.ts'
import { getWire } from './place/place.ts'
import { addPlaceOptions, newPlace, type PlaceFlags } from './place/place-options.ts'

interface GetFlags extends PlaceFlags {
  readonly allNamespaces?: boolean
  readonly output?: OutputFormat | 'wide'
}

export function addGetCommand(program: Command): void {
  const command = program
    .command('get')
    .description('list wires: their state, ends and nodes')
    .argument('[wire...]', 'names of wires; default: all of the namespace')
    .option('-A, --all-namespaces', 'wires of every namespace')
    .addOption(newOutputOption('wide'))
  addPlaceOptions(command).action(runGet)
}

async function runGet(names: readonly string[], flags: GetFlags): Promise<void> {
  const place = newPlace(flags)
  const hasAll = flags.allNamespaces ?? false
  const listed = await place.list({ hasAll })
  const named = names.length === 0 ? listed : listed.filter(({ name }) => names.includes(name))
  for (const name of names)
    if (!named.some((wire) => wire.name === name)) await getWire(place, name, listed)
  const { output } = flags
  if (output === 'json' || output === 'yaml')
    return printValue({ wires: named.map(toListedWire) }, output)
  if (named.length === 0) {
    const where = hasAll ? '' : ` in namespace ${await place.readNamespace()}`
    tell(`No wires found${where} of ${place.label}.`)
    return undefined
  }
  printLines(renderList(named, { hasNamespaces: hasAll, hasMessages: output === 'wide' }))
}
