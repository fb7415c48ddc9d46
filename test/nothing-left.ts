// Suites that leave the machine as they found it.
import { expect } from 'chai'
import { after, before } from 'mocha'

import { newLabNode, type LabNode } from '../lab/node.ts'
import { listTraces } from '../lab/traces.ts'

/** For a suite without hooks of its own, whose tests take away what they make. */
export function leavesNothing(): void {
  let traces: readonly string[]
  before(async () => {
    traces = await listTraces()
  })
  after(async () => {
    expect(await listTraces()).to.deep.equal(traces)
  })
}

/** The same with one node for all tests of the suite, which ends before the look at what is left. */
export function sharesNode(give: (node: LabNode) => void): void {
  let node: LabNode | undefined
  let traces: readonly string[]
  before(async () => {
    traces = await listTraces()
    node = await newLabNode()
    give(node)
  })
  after(async () => {
    await node?.[Symbol.asyncDispose]()
    expect(await listTraces()).to.deep.equal(traces)
  })
}
