// Two real agents that have something in common which each needs for itself: the second does not start, and the
// first does not notice.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { hasCarrier } from '../fixture-links.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'

describe('two agents', function () {
  this.timeout(90_000)
  let made: AsyncDisposableStack
  let storeFolder: string
  let first: LabNode
  let second: LabNode
  let a: LabNetns
  let b: LabNetns

  beforeEach(async () => {
    made = new AsyncDisposableStack()
    ;({ path: storeFolder } = made.use(await newTemporaryFolder('store')))
    a = made.use(await newLabNetns('a', { ipv6: false }))
    b = made.use(await newLabNetns('b', { ipv6: false }))
    first = made.use(await newLabNode({ nodeName: 'n1', storeFolder }))
    second = made.use(await newLabNode({ nodeName: 'n2', storeFolder }))
    await second.stopAgent('SIGTERM')
    await first.mustCall(CONFIG, toCall('ADD', a, 'c1'))
    await first.mustCall(CONFIG, toCall('ADD', b, 'c2'))
  })
  afterEach(async () => {
    for (const [netns, id] of [
      [a, 'c1'],
      [b, 'c2'],
    ] as const)
      await first.mustCall(CONFIG, toCall('DEL', netns, id))
    await made.disposeAsync()
  })

  const refuseSecond = async (
    more: readonly string[],
    ...words: readonly string[]
  ): Promise<void> => {
    const from = second.readLog().length
    const refused: unknown = await second.startAgent(more).catch((error: unknown) => error)
    expect(refused).to.be.instanceOf(Error)
    const said = second.readLog().slice(from)
    for (const word of words) expect(said).to.include(word)
  }
  const expectUntouched = async (): Promise<void> => {
    expect(first.isRunning()).to.equal(true)
    for (const netns of [a, b]) expect(await hasCarrier(netns)).to.equal(true)
    await first.mustCall(CONFIG, { ...toCall('STATUS', a, ''), ifname: '' })
  }

  it('with names of their own share a store', async () => {
    await second.startAgent()
    await expectUntouched()
  })

  for (const [how, nodeName] of [
    ['short', 'n1'],
    ['long', `${`${'n'.repeat(62)}.`.repeat(4)}n`],
  ] as const)
    it(`with one ${how} name and one store: the second says so and ends, until the first has gone`, async () => {
      const named = ['--node-name', nodeName]
      await first.stopAgent('SIGTERM')
      await first.startAgent(named)
      await refuseSecond(named, '--node-name', `"${nodeName.slice(0, 99)}`, storeFolder)
      await expectUntouched()
      await first.stopAgent('SIGKILL')
      await second.startAgent(named)
      await second.stopAgent('SIGTERM')
      await first.startAgent()
    })

  it('with one state directory, as two pods of a node have it, one of them hung: the same', async () => {
    const shared = ['--node-name', 'n1', '--state-dir', first.stateDir]
    process.kill(first.readPid(), 'SIGSTOP')
    try {
      await refuseSecond(shared, first.stateDir, 'another agent holds it')
    } finally {
      process.kill(first.readPid(), 'SIGCONT')
    }
    await expectUntouched()
    await first.stopAgent('SIGKILL')
    await second.startAgent(shared)
    await second.stopAgent('SIGTERM')
    await first.startAgent()
    await expectUntouched()
  })

  it('are not told apart by what 0.3.0 left', async () => {
    await first.stopAgent('SIGTERM')
    await mkdir(join(storeFolder, 'nodes'), { recursive: true })
    const holder = 'elsewhere_0b1f4c7e-0000-4000-8000-000000000000'
    const document = { version: 1, node: 'n1', holder }
    await writeFile(join(storeFolder, 'nodes', 'n1.json'), JSON.stringify(document))
    await writeFile(join(first.stateDir, 'identity'), `${holder}-own\n`)
    await first.startAgent()
    await expectUntouched()
  })
})
