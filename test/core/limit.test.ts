import { setImmediate as turn } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { mapLimited, newLimit } from '../../core/limit.ts'

/** Actions that end when they are told to. */
function newActions() {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  return {
    begun,
    act: (name: string) => async (): Promise<string> => {
      begun.push(name)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      return name
    },
    end: async (name: string): Promise<void> => {
      ends.get(name)?.()
      await turn()
    },
  }
}

describe('a limit', () => {
  it('lets so many in at once, and the others in the order they came', async () => {
    const { begun, act, end } = newActions()
    const limit = newLimit(2)
    const all = ['a', 'b', 'c', 'd'].map(async (name) => limit.inside(act(name)))
    await turn()
    expect(begun.join('')).to.equal('ab')
    await end('b')
    expect(begun.join('')).to.equal('abc')
    for (const name of ['a', 'c', 'd']) await end(name)
    expect(await Promise.all(all)).to.deep.equal(['a', 'b', 'c', 'd'])
  })

  it('gives the place of one that fails to the next', async () => {
    const limit = newLimit(1)
    const failed = limit.inside(async () => Promise.reject(new Error('no'))).catch(String)
    expect(await limit.inside(async () => Promise.resolve('next'))).to.equal('next')
    expect(await failed).to.include('no')
  })

  it('lets others in while one waits outside, which then waits for a place', async () => {
    const { begun, act, end } = newActions()
    const limit = newLimit(1)
    const slow = limit.inside(async () => {
      const said = await limit.outside(act('outside'))
      begun.push('back')
      return said
    })
    const quick = limit.inside(act('quick'))
    await turn()
    expect(begun).to.deep.equal(['outside', 'quick'])
    await end('outside')
    expect(begun).to.not.include('back')
    await end('quick')
    expect(await Promise.all([slow, quick])).to.deep.equal(['outside', 'quick'])
    expect(await limit.inside(async () => Promise.resolve('free'))).to.equal('free')
  })
})

describe('mapLimited()', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']

  it('has eight under way at a time, and their results in order', async () => {
    const { begun, act, end } = newActions()
    const all = mapLimited(names, async (name) => act(name)())
    await turn()
    expect(begun.join('')).to.equal('abcdefgh')
    await end('h')
    expect(begun.join('')).to.equal('abcdefghi')
    for (const name of names) await end(name)
    expect(await all).to.deep.equal(names)
  })

  it('fails with the first that does', async () => {
    const all = mapLimited(names, async (name) =>
      name === 'c' ? Promise.reject(new Error('no c')) : Promise.resolve(name),
    )
    expect(await all.catch(String)).to.equal('Error: no c')
  })
})
