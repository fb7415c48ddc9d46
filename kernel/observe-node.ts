// Looks at everything of ours on the node, in as many processes for a thousand wires as for one.
import { TABLE } from '../core/argv.ts'
import { CommandError } from '../core/errors.ts'
import {
  findMissingDevices,
  parseFilterAnswers,
  parseOurLinks,
  parseTable,
  renderFilterQueries,
  type NodeObservation,
} from '../core/node-observation.ts'
import type { Run } from './run.ts'

/** What is there now; what goes while we look may be in it. Throws CommandError where a tool is missing or not allowed. */
export async function observeNode(run: Run): Promise<NodeObservation> {
  const [links, table] = await Promise.all([
    run(['ip', '-j', '-d', 'link', 'show']).then(parseOurLinks),
    readTable(run),
  ])
  const redirects = await readAllRedirects(run, [...links.keys()])
  return {
    ...table,
    links: new Map(
      [...links].flatMap(([name, link]) => {
        const targets = redirects.get(name)
        return targets === undefined ? [] : [[name, { ...link, redirects: targets }] as const]
      }),
    ),
  }
}

// A device that went in the meantime has no answer, and fails the batch as a whole: once more without it.
async function readAllRedirects(
  run: Run,
  devices: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (devices.length === 0) return new Map()
  try {
    // "-force" goes on behind a missing one, so that all of them are named at once.
    const argv = ['tc', '-j', '-force', '-batch', '-']
    return parseFilterAnswers(await run(argv, { input: renderFilterQueries(devices) }), devices)
  } catch (error) {
    const missing = error instanceof CommandError ? findMissingDevices(error.stderr) : []
    const left = devices.filter((dev) => !missing.includes(dev))
    if (left.length === devices.length) throw error
    return readAllRedirects(run, left)
  }
}

async function readTable(run: Run): Promise<Pick<NodeObservation, 'peers' | 'hasTable'>> {
  try {
    return parseTable(await run(['nft', '-j', 'list', 'table', ...TABLE.split(' ')]))
  } catch (error) {
    // Of the table; a missing nft says so in other words.
    if (error instanceof CommandError && /^Error: No such file or directory/m.test(error.stderr))
      return { peers: new Set(), hasTable: false }
    throw error
  }
}
