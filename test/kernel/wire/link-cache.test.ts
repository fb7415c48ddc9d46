// What is known of where devices lead, and of their tunnels, without asking: only as long as they are the very same
// devices.
import { expect } from 'chai'
import { after, beforeEach, describe, it } from 'mocha'

import { newLinkCache, type LinkCache } from '../../../agent/wire/link-cache.ts'
import { toHookKey } from '../../../core/observe/observation.ts'
import { parseTargets, toFilter, type Filter } from '../../../core/steps/filter.ts'
import { observeLinks } from '../../../kernel/observe/links.ts'
import { run } from '../../../kernel/run.ts'

const [A, B, C] = ['l2wlead1', 'l2wlead2', 'l2wlead3'] as const
const DEVICES = [A, B, C]

async function make(dev: string): Promise<void> {
  await run(['ip', 'link', 'del', 'dev', dev]).catch(() => undefined)
  await run(['ip', 'link', 'add', 'name', dev, 'type', 'bridge'])
}

const VXLAN = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 }

function leadTo(target: string): readonly Filter[] {
  const made = toFilter({ op: 'add-redirect', netns: undefined, dev: 'any', target }, 'bpf')
  return made === undefined ? [] : [made.filter]
}

describe('newLinkCache()', () => {
  let cache: LinkCache
  const read = async (): Promise<readonly (readonly string[] | undefined)[]> => {
    const { links, filters } = await cache.recall(await observeLinks(DEVICES))
    expect([...links.keys()]).to.deep.equal(DEVICES)
    return DEVICES.map((dev) => {
      const known = filters.get(toHookKey({ dev, hook: 'ingress' }))
      // What is known is known as a whole.
      const { vxlan } = links.get(dev) ?? {}
      expect(vxlan, dev).to.deep.equal(known && (dev === B ? VXLAN : null))
      return known && parseTargets(known)
    })
  }

  beforeEach(async () => {
    for (const dev of DEVICES) await make(dev)
    cache = newLinkCache()
    await cache.note(A, { filters: leadTo(B), vxlan: null })
    await cache.note(B, { filters: leadTo(A), vxlan: VXLAN })
    await cache.note(C, { filters: [], vxlan: null })
  })
  after(async () => {
    for (const dev of DEVICES) await run(['ip', 'link', 'del', 'dev', dev])
  })

  const cases: readonly {
    name: string
    happen: () => Promise<void> | void
    known: readonly (readonly string[] | undefined)[]
  }[] = [
    { name: 'what was noted', happen: () => undefined, known: [[B], [A], []] },
    {
      name: 'nothing of a device that is made again, nor of one that led to it',
      happen: async () => make(A),
      known: [undefined, undefined, []],
    },
    {
      name: 'nothing of an idle device that is made again',
      happen: async () => make(C),
      known: [[B], [A], undefined],
    },
    {
      name: 'nothing of one whose filters went',
      happen: () => cache.forget(A),
      known: [undefined, [A], []],
    },
    {
      name: 'nothing at all once events are lost',
      happen: () => cache.forgetAll(),
      known: [undefined, undefined, undefined],
    },
    {
      name: 'nothing of what is noted of a device that is gone by then',
      happen: async () => cache.note(A, { filters: leadTo('l2wgone'), vxlan: null }),
      known: [undefined, [A], []],
    },
  ]
  for (const { name, happen, known } of cases)
    it(`knows ${name}`, async () => {
      await happen()
      expect(await read()).to.deep.equal(known)
    })
})
