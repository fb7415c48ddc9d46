// The options by which every command is told where wires are: --store, or what kubectl itself takes.
import type { Command } from 'commander'

import { DEFAULT_STATE_DIR } from '../documents.ts'
import { newClusterPlace } from './cluster-place.ts'
import { newFilePlace } from './file-place.ts'
import type { Place } from './place.ts'

/** kubectl's own options that choose a cluster and a user; they are handed on as they are. */
const KUBECTL_OPTIONS = [
  ['--context <name>', 'context of the kubeconfig'],
  ['--kubeconfig <file>', 'kubeconfig to use'],
  ['--cluster <name>', 'cluster of the kubeconfig'],
  ['--user <name>', 'user of the kubeconfig'],
  ['-s, --server <url>', 'address of the API server'],
  ['--token <token>', 'bearer token for the API server'],
  ['--as <user>', 'user to act as'],
  ['--request-timeout <time>', 'how long one request may take, "20s"'],
] as const

export interface PlaceFlags {
  readonly store?: string
  readonly namespace?: string
  readonly stateDir: string
  readonly [kubectlOption: string]: unknown
}

export function addPlaceOptions(command: Command): Command {
  command
    .option('-n, --namespace <name>', 'namespace; default: the context\'s, with --store "default"')
    .option('--store <url>', 'wires without a cluster: file:///DIR')
    .option('--state-dir <dir>', 'with --store: what the agent remembers', DEFAULT_STATE_DIR)
  for (const [flags, description] of KUBECTL_OPTIONS) command.option(flags, description)
  return command
}

export function newPlace(flags: PlaceFlags): Place {
  if (flags.store !== undefined) return newFilePlace(flags.store, flags.namespace, flags.stateDir)
  return newClusterPlace(listKubectlFlags(flags), flags.namespace)
}

function listKubectlFlags(flags: PlaceFlags): readonly string[] {
  return KUBECTL_OPTIONS.flatMap(([option]) => {
    const name = /--([a-z-]+)/.exec(option)?.[1] ?? ''
    const value = flags[name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())]
    return typeof value === 'string' ? [`--${name}=${value}`] : []
  })
}
