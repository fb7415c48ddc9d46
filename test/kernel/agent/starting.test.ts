// An agent that starts while its store is away: it is alive, it unplugs, and it plugs in once the store is back.
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'

import { readTable } from '../../../kernel/observe/node.ts'
import { run } from '../../../kernel/run.ts'
import { runCommand, type Ended } from '../../../lab/command.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { listFolder } from '../../../store/json-file.ts'
import { expectSoon } from '../../expect-soon.ts'
import { hasCarrier, listLinkNames } from '../fixture-links.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { newPodNetwork } from '../fixture-pod-network.ts'
import { CONFIG, toCall, usePods } from '../fixture-pods.ts'
import {
  expectPassing,
  hasCarrier as seesCarrier,
  ID,
  plug,
  unplug,
  useWall,
  type End,
} from '../fixture-wall.ts'

interface Away {
  readonly giveBack: () => Promise<void>
}

/** Starts the agent with its store away until it says so, and resolves the start once the store is back. */
async function startWithoutStore(node: LabNode, store: string): Promise<Away> {
  await rename(store, `${store}.away`)
  await writeFile(store, '')
  const from = node.readLog().length
  const starting = node.startAgent()
  // Whoever gives the store back hears of it.
  starting.catch(() => undefined)
  await expectSoon('it waits', () =>
    node.readLog().slice(from).includes('the store is not available'),
  )
  return {
    giveBack: async () => {
      await run(['rm', store])
      await rename(`${store}.away`, store)
      await starting
    },
  }
}

describe('an agent that starts while its store is away', function () {
  this.timeout(120_000)
  const pods = usePods()

  beforeEach(async () => {
    const { add, a, b, node } = pods()
    await add(a, 'c1')
    await add(b, 'c2')
    await node.stopAgent('SIGTERM')
  })
  const toStore = (): string => join(pods().node.folder, 'store')
  const startWithout = async (): Promise<Away> => startWithoutStore(pods().node, toStore())
  const probe = async (command: string): Promise<Ended> =>
    runCommand('l2wire-node', [command, '--socket', pods().node.socket])

  it('is alive, not ready, and says what it waits for', async () => {
    const { del, a, b, expectJoined } = pods()
    const { giveBack } = await startWithout()
    try {
      expect((await probe('alive')).exitCode).to.equal(0)
      const { exitCode, stderr } = await probe('ready')
      expect(exitCode).to.equal(1)
      expect(stderr).to.include('the store is not available').and.include(toStore())
    } finally {
      await giveBack()
    }
    expect((await probe('ready')).exitCode).to.equal(0)
    await expectJoined()
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('takes no ADD and no CHECK, and does what they ask once the store is back', async () => {
    const { node, check, del, a, b } = pods()
    const other = { ...CONFIG, name: 'w3' }
    const { giveBack } = await startWithout()
    try {
      const [added, checked] = await Promise.all([
        node.call(other, toCall('ADD', a, 'c3', 'eth3')),
        check(a, 'c1'),
      ])
      for (const { output } of [added, checked]) {
        expect(output).to.include({ code: 11 })
        expect(output?.['msg']).to.include('is starting').and.include('the store is not available')
      }
      expect(await listLinkNames(a)).to.not.include('eth3')
    } finally {
      await giveBack()
    }
    expect((await check(a, 'c1')).exitCode).to.equal(0)
    for (const command of ['ADD', 'DEL'])
      await node.mustCall(other, toCall(command, a, 'c3', 'eth3'))
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('does DELs at once, and tells the store when it is back', async () => {
    const { node, del, a, b } = pods()
    const { giveBack } = await startWithout()
    try {
      await del(a, 'c1')
      expect(await listLinkNames(a)).to.deep.equal(['lo'])
      expect(await hasCarrier(b), 'its far end sees the cable go').to.equal(false)
      await del(a, 'c1')
      await del(a, 'c9')
      expect(await listFolder(join(node.folder, 'released')), 'no notes').to.deep.equal([])
    } finally {
      await giveBack()
    }
    await expectSoon('its claim is gone', async () => {
      const documents = await node.listDocuments()
      return documents.join() === 'lab.w.json,c2@eth1.json'
    })
    await del(b, 'c2')
  })

  it('ends when it is told to, and the next one takes up what is plugged in', async () => {
    const { node, del, a, b, expectJoined } = pods()
    const { giveBack } = await startWithout()
    await node.stopAgent('SIGTERM')
    // It never got ready.
    await giveBack().catch(() => undefined)
    await node.startAgent()
    await expectJoined()
    await del(a, 'c1')
    await del(b, 'c2')
  })
})

describe('an agent that starts while its store is away, with a tunnel', function () {
  this.timeout(120_000)
  const wall = useWall()

  it('guards it and lets its far end in, however often the ruleset is flushed', async () => {
    const { cluster, store, n1, n2, spaces } = wall()
    const a: End = { on: n1, netns: spaces[0], pod: 'h1' }
    const b: End = { on: n2, netns: spaces[1], pod: 'h2' }
    await plug(a)
    await plug(b)
    await expectSoon('joined', async () => (await seesCarrier(a)) && seesCarrier(b))
    const vni = (await store.read(ID))?.vni
    const expectWhole = async (): Promise<void> => {
      await expectSoon('the table is whole', async () => {
        const table = await readTable(async (argv) => n1.netns.run(argv))
        return table.hasTable && table.checksPath && table.peers.has(`${n2.address} ${vni}`)
      })
      await expectPassing(a, b)
      await expectPassing(b, a)
    }
    const flush = async (): Promise<unknown> => n1.netns.run(['nft', 'flush', 'ruleset'])
    for (const { node } of [n1, n2]) await node.stopAgent('SIGKILL')
    await flush()
    const { giveBack } = await startWithoutStore(n1.node, cluster.storeFolder)
    try {
      await expectWhole()
      for (let times = 0; times < 3; times += 1) {
        await flush()
        await expectWhole()
      }
    } finally {
      await giveBack()
    }
    await n2.node.startAgent()
    await expectWhole()
    await unplug(a)
    await unplug(b)
  })
})

describe('an agent that starts while its store is away, with a VM on a pod network', function () {
  this.timeout(120_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('serves its DHCP', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await using _ = await network.open()
    const told = await network.askIpv4()
    await node.stopAgent('SIGKILL')
    const { giveBack } = await startWithoutStore(node, join(node.folder, 'store'))
    try {
      expect((await network.askIpv4()).get('ip')).to.equal(told.get('ip'))
      expect(await network.renewIpv4()).to.include('renewed')
    } finally {
      await giveBack()
    }
    expect((await network.bind('CHECK')).exitCode).to.equal(0)
  })
})
