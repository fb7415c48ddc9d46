// kubectl-l2wire completion: scripts for shells, and the answers to what they ask.
import { Argument, type Command } from 'commander'

import {
  findOffer,
  renderOffer,
  startingWith,
  type CompletedCommand,
  type Offer,
} from '../core/completion.ts'
import { listNodes } from '../core/wire.ts'
import { getScript, SHELLS, type Shell } from './completion-scripts.ts'
import { newKubectl } from './kubectl.ts'
import { DEFAULT_STATE_DIR, newPlace, type PlaceFlags } from './place-options.ts'

/** Commands that other commands run on a node: in the help, not under Tab. */
export const NODE_GROUP = 'On a node, by other commands:'

export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print what makes Tab complete commands, options and names of wires in a shell')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText(
      'after',
      `
For this shell:  source <(kubectl-l2wire completion bash)
For "kubectl l2wire" kubectl's own completion asks kubectl_complete-l2wire, which lies beside this program.`,
    )
    .action((shell: Shell) => {
      process.stdout.write(getScript(shell))
    })
}

/** The answer to a shell. Never fails: where nothing can be offered, nothing is. */
export async function answerShell(program: Command, words: readonly string[]): Promise<string> {
  const offered = program.commands.filter((command) => command.helpGroup() !== NODE_GROUP)
  const offer = findOffer(offered.map(toCompleted), words)
  const { lookup, prefix, typed } = offer
  if (lookup === undefined) return renderOffer(offer.candidates, prefix, false)
  const names = await lookUp(lookup, offer)
  if (names === 'files') return renderOffer([], prefix, true)
  const candidates = names
    .filter((word) => !offer.operands.includes(word))
    .map((word) => ({ word, description: '' }))
  return renderOffer(startingWith(candidates, typed), prefix, false)
}

const FILES = ['write', 'kubeconfig', 'state-dir']
/** A shell waits for us at every Tab. */
const PATIENCE = '3s'

async function lookUp(name: string, offer: Offer): Promise<readonly string[] | 'files'> {
  if (FILES.includes(name)) return 'files'
  try {
    const { flags } = offer
    const place = newPlace({
      stateDir: DEFAULT_STATE_DIR,
      requestTimeout: PATIENCE,
      ...toCamel(flags),
    })
    if (name === 'wire')
      return (await place.list({ hasAll: 'all-namespaces' in flags })).map((wire) => wire.name)
    if (name === 'node')
      return [...new Set((await place.list({ hasAll: true })).flatMap(listNodes))].sort()
    if (name === 'namespace') return await place.listNamespaces()
    const part = CONFIG_LISTS.get(name)
    if (part === undefined) return []
    const kubeconfig =
      flags['kubeconfig'] === undefined ? [] : [`--kubeconfig=${flags['kubeconfig']}`]
    return (await newKubectl(kubeconfig).read('config', ...part)).trim().split('\n')
  } catch {
    // No cluster, no permission, a folder that is not there: whoever runs the command is told.
    return []
  }
}

const CONFIG_LISTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['context', ['get-contexts', '-o', 'name']],
  ['cluster', ['view', '-o', String.raw`jsonpath={range .clusters[*]}{.name}{"\n"}{end}`]],
  ['user', ['view', '-o', String.raw`jsonpath={range .users[*]}{.name}{"\n"}{end}`]],
])

function toCamel(flags: Readonly<Record<string, string>>): Omit<PlaceFlags, 'stateDir'> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, value]) => [
      name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}

function toCompleted(command: Command): CompletedCommand {
  const { registeredArguments } = command
  return {
    name: command.name(),
    description: command.description(),
    options: command.options.map((option) => ({
      short: option.short,
      long: (option.long ?? '').replace(/^--/, ''),
      description: option.description,
      takesValue: option.required || option.optional,
      choices: option.argChoices ?? [],
    })),
    argumentNames: registeredArguments.map((argument) => argument.name()),
    argumentChoices: registeredArguments.flatMap((argument) => argument.argChoices ?? []),
    isVariadic: registeredArguments.at(-1)?.variadic ?? false,
  }
}
