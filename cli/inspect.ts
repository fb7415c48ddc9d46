// kubectl-l2wire inspect: what this node's agent has of a wire, as JSON. `describe` runs it on each node; it needs
// neither a store nor a cluster.
import type { Command } from 'commander'

import { decodeInspection, type WireInspection } from '../core/observe/inspection.ts'
import type { WireId } from '../core/wire/wire.ts'
import { askNode } from './ask-node.ts'
import { DEFAULT_STATE_DIR } from './documents.ts'
import { newOutputOption, printValue, type OutputFormat } from './output.ts'

interface InspectFlags {
  readonly namespace: string
  readonly stateDir: string
  readonly output: OutputFormat
}

export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description("a wire's devices on this node, and what its agent finds wrong with them")
    .argument('<wire>', 'name of the wire')
    .option('-n, --namespace <name>', 'namespace of the wire', 'default')
    .addOption(newOutputOption().default('json'))
    .option('--state-dir <dir>', 'what the agent remembers', DEFAULT_STATE_DIR)
    .action(async (name: string, { namespace, stateDir, output }: InspectFlags) =>
      printValue(await inspect({ namespace, name }, stateDir), output),
    )
}

/** Throws CliError where no agent answers. */
export async function inspect(
  { namespace, name }: WireId,
  stateDir: string,
): Promise<WireInspection> {
  const question = { question: 'wire', wire: { namespace, name } } as const
  return decodeInspection(await askNode(stateDir, question), 'inspection: ')
}
