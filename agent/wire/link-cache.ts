// What /sys does not show of our devices, as the last look at their wire left it: where they lead, and a tunnel's ends.
// What nobody has touched since is neither read nor set again, which would take a process each time. Of who changes it
// the kernel tells, and the device is forgotten; one that is made again has another index, whatever it is called.
import type { ObservedLink, ObservedLinks, Vxlan } from '../../core/observe/links.ts'
import { toHookKey } from '../../core/observe/observation.ts'
import { parseTargets, type Filter } from '../../core/steps/filter.ts'
import { readIfindex } from '../../kernel/observe/links.ts'

export interface CachedLink {
  /** Of what comes in. */
  readonly filters: readonly Filter[]
  readonly vxlan: Vxlan | null
}

export interface LinkCache {
  /** It is so: just made so, or just read. Of a device that is not there, or leads to none, nothing is kept. */
  readonly note: (dev: string, link: CachedLink) => Promise<void>
  /** The links as far as they are known, and their filters. */
  readonly recall: (links: ObservedLinks) => Promise<{
    readonly links: ObservedLinks
    readonly filters: ReadonlyMap<string, readonly Filter[]>
  }>
  readonly forget: (dev: string) => void
  readonly forgetAll: () => void
}

interface Noted extends CachedLink {
  readonly indexes: string
}

export function newLinkCache(): LinkCache {
  const known = new Map<string, Noted>()
  const find = async (dev: string): Promise<Noted | undefined> => {
    const noted = known.get(dev)
    if (noted === undefined) return undefined
    return noted.indexes === (await readIndexes(dev, noted)) ? noted : undefined
  }
  return {
    note: async (dev, link) => {
      const indexes = await readIndexes(dev, link)
      if (indexes === undefined) known.delete(dev)
      else known.set(dev, { ...link, indexes })
    },
    recall: async (links) => {
      const found = await Promise.all(
        [...links].map(async ([dev, link]) => ({ dev, link, noted: await find(dev) })),
      )
      return {
        links: new Map(
          found.map(({ dev, link, noted }): [string, ObservedLink] => [
            dev,
            noted === undefined ? link : { ...link, vxlan: noted.vxlan },
          ]),
        ),
        filters: new Map(
          found.flatMap(({ dev, noted }) =>
            noted === undefined
              ? []
              : [[toHookKey({ dev, hook: 'ingress' }), noted.filters] as const],
          ),
        ),
      }
    },
    forget: (dev) => known.delete(dev),
    forgetAll: () => known.clear(),
  }
}

/** Undefined where it, or where it leads to, is not there. */
async function readIndexes(dev: string, { filters }: CachedLink): Promise<string | undefined> {
  const indexes = await Promise.all([dev, ...parseTargets(filters)].map(readIfindex))
  return indexes.includes(undefined) ? undefined : indexes.join()
}
