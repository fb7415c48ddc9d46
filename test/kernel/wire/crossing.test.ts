// Verbs that cross each other, or an agent that dies: a working wire stays as it is, and nothing is left.
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach, before, describe, it } from 'mocha'

import { toHostEndName } from '../../../core/name.ts'
import { run } from '../../../kernel/run.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import type { LabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { newHeldNsenter, type HeldNsenter } from '../fixture-held-nsenter.ts'
import { listLinkNames } from '../fixture-links.ts'
import { BIND, CONFIG, toCall, usePods } from '../fixture-pods.ts'

describe('verbs', function () {
  this.timeout(90_000)
  let held: HeldNsenter
  afterEach(async () => held.release())
  const pods = usePods(async (made) => {
    held = made.use(await newHeldNsenter())
    return { pathFirst: held.path }
  })

  describe('that cross', () => {
    it('a DEL waits for the ADD it follows', async () => {
      const { node, a, add, del } = pods()
      await held.hold()
      const adding = add(a, 'c1')
      await expectSoon('the ADD is under way', held.isThere)
      const deleting = del(a, 'c1')
      await expectSoon('both wait for the agent', async () => (await countCallers(node)) === 2)
      await held.release()
      await Promise.all([adding, deleting])
    })

    it('of two ADDs of one interface on two wires one wins, and is whole', async () => {
      const { node, a } = pods()
      const other = { ...CONFIG, name: 'w2' }
      const answers = await Promise.all(
        [CONFIG, other].map(async (config) => node.call(config, toCall('ADD', a, 'c1'))),
      )
      expect(answers.map(({ exitCode }) => exitCode)).to.have.members([0, 1])
      expect(await listLinkNames(a)).to.deep.equal(['eth1', 'lo'])
      for (const config of [CONFIG, other]) await node.mustCall(config, toCall('DEL', a, 'c1'))
    })

    it('ADDs and DELs of both ends at once, over and over', async () => {
      const { a, b, add, del, expectJoined } = pods()
      for (let round = 0; round < 10; round += 1) {
        await Promise.all([add(a, 'c1'), add(b, 'c2')])
        await expectJoined()
        await Promise.all([del(a, 'c1'), add(a, 'c3', 'eth2').catch(String), del(b, 'c2')])
        await del(a, 'c3', 'eth2')
      }
    })

    it('an end is plugged in while the far end, made again, loses its sandbox', async () => {
      const { a, add, del } = pods()
      const far = await newLabNetns('far', { ipv6: false })
      await add(far, 'c9')
      await held.hold(a.path)
      const adding = add(a, 'c1')
      await expectSoon('the ADD is under way', held.isThere)
      await run(['ip', 'link', 'del', 'dev', toHostEndName('c9', 'eth1')])
      await held.hold(far.path)
      await expectSoon('the far end is being made again', held.isThere)
      await far[Symbol.asyncDispose]()
      await held.release()
      await adding
      await del(a, 'c1')
      await del(far, 'c9')
    })

    it('an end is plugged in while the far end is being torn down', async () => {
      const { a, add, del } = pods()
      for (let round = 0; round < 12; round += 1) {
        const far = await newLabNetns('far', { ipv6: false })
        await add(far, 'c9')
        const going = sleep(round * 3).then(async () => far[Symbol.asyncDispose]())
        await add(a, 'c1')
        await going
        await del(a, 'c1')
        await del(far, 'c9')
      }
    })
  })

  describe('a working wire', () => {
    before(async () => {
      const { a, b, add } = pods()
      await add(a, 'c1')
      await add(b, 'c2')
    })
    // The outer afterEach asks for nothing left, so each test unplugs and plugs in again.
    afterEach(async () => {
      const { a, b, del } = pods()
      await del(a, 'c1')
      await del(b, 'c2')
    })

    it('survives a newer sandbox of one end that fails', async () => {
      const { node, expectJoined } = pods()
      await using newer = await newLabNetns('newer', { ipv6: false })
      await newer.run(['ip', 'link', 'add', 'name', 'eth1', 'type', 'veth', 'peer', 'name', 'p'])
      const call = { ...toCall('ADD', newer, 'c1'), containerID: 'c7' }
      expect((await node.call(CONFIG, call)).output).to.include({ code: 102 })
      await expectJoined()
    })
  })

  it("somebody else's filter on a host end is no obstacle, and stays", async () => {
    const { a, b, add, del } = pods()
    await add(a, 'c1')
    const dev = toHostEndName('c1', 'eth1')
    await run(['tc', 'qdisc', 'replace', 'dev', dev, 'clsact'])
    await run([
      'tc',
      'filter',
      'add',
      'dev',
      dev,
      'ingress',
      'pref',
      '77',
      'protocol',
      'all',
      'u32',
      'match',
      'u32',
      '0',
      '0',
      'action',
      'mirred',
      'egress',
      'redirect',
      'dev',
      'lo',
    ])
    await add(b, 'c2')
    await del(b, 'c2')
    const filters = await run(['tc', 'filter', 'show', 'dev', dev, 'ingress'])
    expect(filters).to.include('pref 77').and.not.include('pref 1 ')
    await del(a, 'c1')
  })

  it('a third end gets in where a holder is gone without DEL', async () => {
    const { a, b, add, del, expectJoined } = pods()
    const gone = await newLabNetns('gone')
    await add(gone, 'c9')
    await add(a, 'c1')
    await gone[Symbol.asyncDispose]()
    await add(b, 'c2')
    await expectJoined()
    for (const [netns, id] of [
      [a, 'c1'],
      [b, 'c2'],
      [a, 'c9'],
    ] as const)
      await del(netns, id)
  })

  describe('an agent killed', () => {
    it('in the middle of an ADD: error 11, and the next start takes the rest back', async () => {
      const { node, a } = pods()
      await held.hold()
      const asked = node.call(CONFIG, toCall('ADD', a, 'c1'))
      await expectSoon('the ADD is under way', held.isThere)
      expect(await node.listDocuments(), 'the intent is on disk').to.deep.equal(['c1@eth1.json'])
      await node.stopAgent('SIGKILL')
      const answer = await asked
      expect(answer.output).to.include({ code: 11 })
      expect(answer.output?.['msg']).to.include('went away before it answered')
      await expectSoon('what it had begun ends, too', async () => !(await held.isThere()))
      await held.release()
      await node.startAgent()
    })

    it('in the middle of a tap: no tap is born behind its successor', async () => {
      const { node, a, add, del } = pods()
      await add(a, 'c1', 'eth0')
      const bind = { ...BIND, args: { cni: { logicNetworkName: 'default' } } }
      await held.hold('-batch')
      const asked = node.call(bind, toCall('ADD', a, 'c1', 'net1'))
      await expectSoon('the tap is about to be made', held.isThere)
      await node.stopAgent('SIGKILL')
      expect((await asked).output).to.include({ code: 11 })
      await expectSoon('what it had begun ends, too', async () => !(await held.isThere()))
      await held.release()
      await node.startAgent()
      expect(await listLinkNames(a)).to.deep.equal(['eth0', 'lo'])
      await node.mustCall(bind, toCall('DEL', a, 'c1', 'net1'))
      await del(a, 'c1', 'eth0')
    })
  })
})

/** How many connections the agent has. */
async function countCallers({ socket }: LabNode): Promise<number> {
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n')
  // One is the socket that listens.
  return lines.filter((line) => line.endsWith(` ${socket}`)).length - 1
}
