import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newBackoff } from '../../core/backoff.ts'

describe('newBackoff()', () => {
  it('waits twice as long after each failure, up to the most, and begins again', () => {
    const backoff = newBackoff(100, 500)
    expect([1, 2, 3, 4, 5].map(() => backoff.next())).to.deep.equal([100, 200, 400, 500, 500])
    backoff.reset()
    expect(backoff.next()).to.equal(100)
  })

  it('waits longer for what is known to take longer', () => {
    const backoff = newBackoff(100, 200)
    expect([1, 2, 3, 4].map(() => backoff.next(800))).to.deep.equal([100, 200, 400, 800])
    expect(backoff.next()).to.equal(200)
  })
})
