// The state directory is lost, while the kernel and the store are full of what it told of.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { run } from '../../../kernel/run.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newFileStore } from '../../../store/file-store.ts'
import { listFolder } from '../../../store/json-file.ts'
import { expectSoon } from '../../expect-soon.ts'
import { withoutOperstate } from '../../without-operstate.ts'
import { hasCarrier, listLinkNames } from '../fixture-links.ts'
import { CONFIG, toCall, usePods } from '../fixture-pods.ts'

async function listHostEnds(): Promise<readonly string[]> {
  const lines = withoutOperstate(await run(['ip', '-br', 'link', 'show'])).split('\n')
  return lines.filter((line) => line.startsWith('lw'))
}

describe('a state directory that is lost', function () {
  this.timeout(90_000)
  const pods = usePods(async () => Promise.resolve({ more: ['--check-seconds', '1'] }))
  const empty = async (): Promise<void> => {
    const { stateDir } = pods().node
    for (const file of await listFolder(stateDir))
      await rm(join(stateDir, file), { recursive: true })
  }

  it('while no agent runs: a cable between living pods carries on, and each DEL takes its end out', async () => {
    const { node, a, b, add, del } = pods()
    await add(a, 'c1')
    await add(b, 'c2')
    const before = await listHostEnds()
    await node.stopAgent('SIGKILL')
    await empty()
    const from = node.readLog().length
    await node.startAgent()
    // One that is a stray goes in the second look that finds it.
    const [stray, peer] = ['lw0000000000000', 'l2wstray']
    await run(['ip', 'link', 'add', 'name', stray, 'type', 'veth', 'peer', 'name', peer])
    await run(['ip', 'link', 'set', 'dev', stray, 'alias', 'l2wire lab/x h eth1'])
    await expectSoon('a stray is gone', async () =>
      (await listHostEnds()).every((line) => !line.startsWith(stray)),
    )
    expect(await listHostEnds()).to.deep.equal(before)
    expect([await hasCarrier(a), await hasCarrier(b)]).to.deep.equal([true, true])
    expect(node.readLog().slice(from)).to.not.include('"level":50')
    await del(a, 'c1')
    expect(await listLinkNames(a)).to.not.include('eth1')
    expect(await hasCarrier(b)).to.equal(false)
    await del(b, 'c2')
    expect(await listHostEnds()).to.deep.equal([])
    expect(await node.listDocuments()).to.deep.equal([])
  })

  it("while no agent runs: the DEL of a migration's target leaves the cable as it is", async () => {
    const { node, a, b, add, del } = pods()
    await using target = await newLabNetns('target')
    await add(a, 'c1')
    await add(b, 'c2')
    const before = await node.listDocuments()
    const config = { ...CONFIG, args: { cni: { end: 'pod/c1', standby: true } } }
    await node.mustCall(config, toCall('ADD', target, 'c3'))
    await node.stopAgent('SIGKILL')
    await rm(join(node.stateDir, 'attachments', 'c3@eth1.json'))
    await node.startAgent(['--check-seconds', '3600'])
    await node.mustCall(config, toCall('DEL', target, 'c3'))
    expect(await node.listDocuments()).to.deep.equal(before)
    const wire = await newFileStore(join(node.folder, 'store')).read({
      namespace: 'lab',
      name: 'w',
    })
    expect(wire?.standbys).to.deep.equal([])
    expect([await hasCarrier(a), await hasCarrier(b)]).to.deep.equal([true, true])
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('while no agent runs, and its pods, too: the next look frees what they held', async () => {
    const { node, add, del } = pods()
    const gone = await newLabNetns('gone')
    await add(gone, 'c1')
    await node.stopAgent('SIGKILL')
    await empty()
    await gone[Symbol.asyncDispose]()
    await node.startAgent()
    await expectSoon('nothing is held', async () => (await node.listDocuments()).length === 0)
    await del(gone, 'c1')
  })

  it('with the store: what is left of the ends goes', async () => {
    const { node, a, add, del } = pods()
    await add(a, 'c1')
    await node.stopAgent('SIGKILL')
    await empty()
    await rm(join(node.folder, 'store'), { recursive: true })
    await mkdir(join(node.folder, 'store'))
    await node.startAgent()
    await expectSoon('the end is gone', async () => (await listHostEnds()).length === 0)
    await del(a, 'c1')
  })

  it('while an agent runs: it writes down again what it knows', async () => {
    const { node, a, b, add, expectJoined, del } = pods()
    await add(a, 'c1')
    await add(b, 'c2')
    const before = await node.listDocuments()
    await rm(join(node.stateDir, 'attachments'), { recursive: true })
    await expectSoon('the documents', async () => {
      const now = await node.listDocuments()
      return now.join() === before.join()
    })
    await expectJoined()
    await rm(join(node.stateDir, 'attachments'), { recursive: true })
    await node.mustCall(
      { cniVersion: '1.1.0', name: 'w', type: 'l2wire' },
      { ...toCall('DEL', a, 'c1') },
    )
    await del(b, 'c2')
  })
})
