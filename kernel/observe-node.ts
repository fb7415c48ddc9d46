// Looks at everything of ours on the node, in as many processes for a thousand wires as for one.
import { TABLE } from '../core/argv.ts'
import { CommandError } from '../core/errors.ts'
import { parseOurLinks, parseTable, type NodeObservation } from '../core/node-observation.ts'
import { readAllRedirects } from './links.ts'
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
