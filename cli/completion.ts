// What kubectl's own completion may offer after "kubectl l2wire": it runs kubectl_complete-l2wire, which asks
// this program, and does the rest in whatever shell there is.
import type { Command } from 'commander'

import { newPlace, type PlaceFlags } from './place/place-options.ts'

/** Commands that other commands run on a node: in the help, not under Tab. */
export const NODE_GROUP = 'On a node, by other commands:'

/** In cobra's protocol: a candidate per line, with its description behind a tab, and 4 for "no file names". */
export async function answerShell(program: Command, words: readonly string[]): Promise<string> {
  const typed = words.at(-1) ?? ''
  const candidates = await listCandidates(program, words.slice(0, -1), typed)
  return [...candidates.filter((line) => line.startsWith(typed)), ':4', ''].join('\n')
}

async function listCandidates(
  program: Command,
  [name, ...before]: readonly string[],
  typed: string,
): Promise<readonly string[]> {
  if (name === undefined)
    return program.commands
      .filter((command) => command.helpGroup() !== NODE_GROUP)
      .map((command) => `${command.name()}\t${command.description()}`)
  const command = program.commands.find((one) => one.name() === name)
  if (command === undefined) return []
  try {
    // Of an option whose value is being typed commander says that the value is missing.
    const { operands } = command
      .configureOutput({ writeErr: () => undefined })
      .parseOptions([...before])
    if (typed.startsWith('-'))
      return command.options.map(
        ({ long, short, description }) => `${long ?? short}\t${description}`,
      )
    const [argument] = command.registeredArguments
    if (argument?.name() !== 'wire' || (operands.length > 0 && !argument.variadic)) return []
    const names = await listWireNames(command.opts())
    // A shell takes them as they are: of letters, digits, "_", "." and "-" alone (core/bounds.ts).
    return names.filter((wire) => !operands.includes(wire))
  } catch {
    // No cluster, no permission, a folder that is not there: whoever runs the command is told.
    return []
  }
}

/** A shell waits for us at every Tab. */
const PATIENCE = '3s'

async function listWireNames(
  flags: PlaceFlags & { readonly allNamespaces?: boolean },
): Promise<readonly string[]> {
  const place = newPlace({ requestTimeout: PATIENCE, ...flags })
  const wires = await place.list({ hasAll: flags.allNamespaces === true })
  return wires.map((wire) => wire.name)
}
