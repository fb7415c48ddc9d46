// What is known of where devices lead without asking: only as long as they are the very same devices.
import { expect } from 'chai'
import { after, beforeEach, describe, it } from 'mocha'

import { newLeads, type Leads } from '../../agent/leads.ts'
import { observeLinks } from '../../kernel/links.ts'
import { run } from '../../kernel/run.ts'

const [A, B, C] = ['l2wlead1', 'l2wlead2', 'l2wlead3'] as const
const DEVICES = [A, B, C]

async function make(dev: string): Promise<void> {
  await run(['ip', 'link', 'del', 'dev', dev]).catch(() => undefined)
  await run(['ip', 'link', 'add', 'name', dev, 'type', 'bridge'])
}

describe('newLeads()', () => {
  let leads: Leads
  const read = async (): Promise<readonly (readonly string[] | undefined)[]> => {
    const links = await leads.fillIn(await observeLinks(DEVICES))
    return DEVICES.map((dev) => links.get(dev)?.redirects)
  }

  beforeEach(async () => {
    for (const dev of DEVICES) await make(dev)
    leads = newLeads()
    await leads.note([
      { dev: A, target: B },
      { dev: B, target: A },
      { dev: C, target: undefined },
    ])
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
      happen: () => leads.forget(A),
      known: [undefined, [A], []],
    },
    {
      name: 'nothing at all once events are lost',
      happen: () => leads.forgetAll(),
      known: [undefined, undefined, undefined],
    },
    {
      name: 'nothing of what is noted of a device that is gone by then',
      happen: async () => leads.note([{ dev: A, target: 'l2wgone' }]),
      known: [undefined, [A], []],
    },
  ]
  for (const { name, happen, known } of cases)
    it(`knows ${name}`, async () => {
      await happen()
      expect(await read()).to.deep.equal(known)
    })
})
