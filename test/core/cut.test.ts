import { expect } from 'chai'
import { describe, it } from 'mocha'

import { cutValue } from '../../core/cut.ts'

const LONG = 'x'.repeat(100_000)

describe('what is cut for a log', () => {
  for (const value of ['w', 7, true, null, undefined, [], ['a', 1], { a: { b: ['c'] } }])
    it(`leaves ${JSON.stringify(value)} as it is`, () => {
      expect(cutValue(value)).to.deep.equal(value)
    })

  it('names the first of a list, and how many more', () => {
    const list = Array.from({ length: 90_000 }, (_, at) => `k${at}`)
    const cut = cutValue(list) as readonly unknown[]
    expect(cut.slice(0, 100)).to.deep.equal(list.slice(0, 100))
    expect(cut.at(-1)).to.equal(`... ${list.length - cut.length + 1} more`)
  })

  const deep = JSON.parse(`${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`) as unknown
  const wide = Object.fromEntries(Array.from({ length: 90_000 }, (_, at) => [`${at}${LONG[0]}`, 1]))
  for (const [name, value] of Object.entries({
    'a long text': LONG,
    'a list of them': Array.from({ length: 1_000 }, () => LONG),
    'a long key': { [LONG]: 1 },
    'a deep object': deep,
    'an object of many keys': wide,
  }))
    it(`keeps ${name} to a few kilobytes`, () => {
      const { length } = JSON.stringify(cutValue({ value }))
      expect(length).to.be.below(8_000)
    })

  it('leaves errors to who renders them, and cuts to what is asked for', () => {
    const error = new Error(LONG)
    expect(cutValue({ err: error })).to.deep.equal({ err: error })
    expect(cutValue(LONG, 1_000)).to.have.length(1_003)
  })
})
