// Suites that leave the machine as they found it.
import { expect } from 'chai'
import { after, before } from 'mocha'

import { listTraces } from '../lab/traces.ts'

/** Puts what is to go behind the tests on the stack: the last first, and also when it fails half-way. */
type Make = (made: AsyncDisposableStack) => Promise<void>

const makeNothing: Make = async () => Promise.resolve()

/** For a suite, with what all its tests share. */
export function leavesNothing(make = makeNothing): void {
  const { begin, end } = newLook(make)
  before(begin)
  after(end)
}

function newLook(make: Make): { begin: () => Promise<void>; end: () => Promise<void> } {
  let traces: readonly string[]
  let made: AsyncDisposableStack
  return {
    begin: async () => {
      traces = await listTraces()
      made = new AsyncDisposableStack()
      await make(made)
    },
    end: async () => {
      await made.disposeAsync()
      expect(await listTraces()).to.deep.equal(traces)
    },
  }
}
