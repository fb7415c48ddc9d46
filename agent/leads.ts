// Where our devices lead, as the last look at their wire left them: what nobody has touched since is neither
// read nor set again, which would take a process each time. Who takes a redirect away is heard of and the
// device forgotten; one that is made again has another index, whatever it is called.
import type { Lead } from '../core/plan.ts'
import type { ObservedLinks } from '../core/observed.ts'
import { readIfindex } from '../kernel/links.ts'

export interface Leads {
  /** They are so: just set, or just read. */
  readonly note: (leads: readonly Lead[]) => Promise<void>
  /** The links with their redirects, where these are known. */
  readonly fillIn: (links: ObservedLinks) => Promise<ObservedLinks>
  readonly forget: (dev: string) => void
  readonly forgetAll: () => void
}

interface Noted {
  readonly target: string | undefined
  readonly indexes: string
}

export function newLeads(): Leads {
  const known = new Map<string, Noted>()
  const recall = async (dev: string): Promise<readonly string[] | undefined> => {
    const noted = known.get(dev)
    if (noted === undefined || noted.indexes !== (await readIndexes(dev, noted.target)))
      return undefined
    return noted.target === undefined ? [] : [noted.target]
  }
  return {
    note: async (leads) => {
      for (const { dev, target } of leads) {
        const indexes = await readIndexes(dev, target)
        if (indexes === undefined) known.delete(dev)
        else known.set(dev, { target, indexes })
      }
    },
    fillIn: async (links) => {
      const filled = [...links].map(
        async ([dev, link]) => [dev, { ...link, redirects: await recall(dev) }] as const,
      )
      return new Map(await Promise.all(filled))
    },
    forget: (dev) => known.delete(dev),
    forgetAll: () => known.clear(),
  }
}

/** Undefined where one of the two is not there. */
async function readIndexes(dev: string, target: string | undefined): Promise<string | undefined> {
  const devices = target === undefined ? [dev] : [dev, target]
  const indexes = await Promise.all(devices.map(readIfindex))
  return indexes.includes(undefined) ? undefined : indexes.join()
}
