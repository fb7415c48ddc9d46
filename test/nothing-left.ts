// Suites that leave the machine as they found it.
import { expect } from 'chai'
import { after, afterEach, before, beforeEach } from 'mocha'

import { listTraces } from '../lab/traces.ts'
import { expectSoon } from './expect-soon.ts'

/** Puts what is to go behind the tests on the stack: the last first, and also when it fails half-way. */
type Make = (made: AsyncDisposableStack) => Promise<void>

const makeNothing: Make = async () => Promise.resolve()

/** For a suite, with what all its tests share. */
export function leavesNothing(make = makeNothing): void {
  const { begin, end } = newLook(make)
  before(begin)
  after(end)
}

/** For each test of a suite, with what it has for itself. */
export function eachLeavesNothing(make = makeNothing): void {
  const { begin, end } = newLook(make)
  beforeEach(begin)
  afterEach('leaves nothing', end)
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
      await dispose(made)
      // The kernel takes the links of a namespace that has ended away behind our backs.
      await expectSoon('no more links than before', async () =>
        (await listLinks()).every((link) => traces.includes(link)),
      )
      // What was there before, and was not this suite's, may have gone.
      const more = (await listTraces()).filter((line) => !traces.includes(line))
      expect(more).to.deep.equal([])
    },
  }
}

async function dispose(made: AsyncDisposableStack): Promise<void> {
  try {
    await made.disposeAsync()
  } catch (error) {
    // Where several things went wrong its own message names none.
    throw error instanceof SuppressedError ? new Error(listWords(error).join('\n')) : error
  }
}

function listWords(error: unknown): readonly string[] {
  return error instanceof SuppressedError
    ? [...listWords(error.suppressed), ...listWords(error.error)]
    : [String(error)]
}

/** For suites whose tests take out all that they plug in. */
export async function expectNoLinks(): Promise<void> {
  expect(await listLinks()).to.deep.equal([])
}

async function listLinks(): Promise<readonly string[]> {
  return (await listTraces()).filter((line) => line.startsWith('link'))
}
