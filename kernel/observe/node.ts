// Observes everything of ours on the node, in as many processes for a thousand wires as for one.
import { TABLE } from '../../core/steps/guard.ts'
import { CommandError } from '../../core/errors.ts'
import { parseLinks } from '../../core/observe/links.ts'
import {
  isNamedAsOurs,
  parseTable,
  type NodeObservation,
  type ObservedTable,
} from '../../core/observe/node.ts'
import type { FilterPlace } from '../../core/steps/filter.ts'
import { toHookKey } from '../../core/observe/observation.ts'
import type { Skip } from '../../core/observe/tool-json.ts'
import { readFilters, readIpv6Addresses, readOffloads } from './links.ts'
import type { Run } from '../run.ts'

export interface NodeQuestions {
  readonly skip?: Skip
  /** Devices that are asked of their offloads, which takes a process each. */
  readonly whole?: readonly string[]
  /** Devices that are asked of what keeps them mute. */
  readonly mute?: readonly string[]
}

/**
 * What is there now; what goes while we look may be in it, and a device that cannot be read is not. Throws CommandError
 * where a tool is missing or not allowed.
 */
export async function observeNode(
  run: Run,
  { skip, whole = [], mute = [] }: NodeQuestions = {},
): Promise<NodeObservation> {
  const [all, table, addresses] = await Promise.all([
    run(['ip', '-j', '-d', 'link', 'show']).then((said) => parseLinks(said, skip)),
    readTable(run),
    readIpv6Addresses(),
  ])
  const ours = new Map([...all].filter(([name]) => isNamedAsOurs(name)))
  const hooks = [...ours.keys()].map((dev): FilterPlace => ({ dev, hook: 'ingress' }))
  for (const dev of mute) if (ours.has(dev)) hooks.push({ dev, hook: 'egress' })
  const filters = await readFilters(run, hooks)
  const links = new Map(
    [...ours].filter(([dev]) => filters.has(toHookKey({ dev, hook: 'ingress' }))),
  )
  const offloads = await readOffloads(
    run,
    whole.filter((dev) => links.has(dev)),
  )
  return { ...table, links, filters, addresses, offloads }
}

/** Throws CommandError where nft is missing or not allowed. */
export async function readTable(run: Run): Promise<ObservedTable> {
  try {
    return parseTable(await run(['nft', '-j', 'list', 'table', ...TABLE.split(' ')]))
  } catch (error) {
    // Of the table; a missing nft says so in other words.
    if (error instanceof CommandError && /^Error: No such file or directory/m.test(error.stderr))
      return { peers: new Set(), hasTable: false, checksPath: false, hops: new Set() }
    throw error
  }
}
