// A VM that moves to another node while the store is away: its wire follows it all the same, and nothing changes once
// the store is back and hears of it.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toTunnelDeviceName } from '../../core/name.ts'
import { ARRIVALS_TABLE } from '../../core/steps/arrivals.ts'
import { toWireKey } from '../../core/wire/wire.ts'
import { run } from '../../kernel/run.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newFileStore } from '../../store/file-store.ts'
import { expectSoon } from '../expect-soon.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { startListening } from '../listening.ts'
import { leavesNothing } from '../nothing-left.ts'
import {
  announce,
  areJoined,
  call,
  expectFlow,
  expectHeard,
  isDark,
  isReady,
  NIC,
  readLetIn,
  readNic,
  toStation,
  watchNic,
  type Sandbox,
} from '../kernel/fixture-migration.ts'

const ID = { namespace: 'lab', name: 'w' }

async function listTables({ netns }: ClusterNode): Promise<string> {
  return netns.run(['nft', 'list', 'tables'])
}

async function readCounting(node: ClusterNode): Promise<string> {
  if (!(await listTables(node)).includes(ARRIVALS_TABLE)) return ''
  return node.netns.run(['nft', 'list', 'table', ...ARRIVALS_TABLE.split(' ')])
}

describe('a VM that migrates while the store is away', function () {
  this.timeout(90_000)
  leavesNothing()

  let cluster: LabCluster
  let source: Sandbox
  let target: Sandbox
  let far: Sandbox

  const takeAway = async (): Promise<void> => cluster.setStoreReachable(false)
  const giveBack = async (): Promise<void> => cluster.setStoreReachable(true)
  const readHolders = async (): Promise<readonly string[]> => {
    const wire = await newFileStore(cluster.storeFolder).read(ID)
    return (wire?.ends ?? []).map(({ containerID }) => containerID).sort()
  }
  const countsTarget = async (): Promise<boolean> =>
    (await readCounting(far.on)).includes(target.on.address)

  const expectReached = async ({ netns, id }: Sandbox): Promise<void> => {
    await using listening = await startListening(netns.path, NIC)
    await expectSoon(`the far end leads to ${id}`, async () => {
      await toStation(far).send(newCountedFrames(1))
      return (await listening.read()).length > 0
    })
  }
  /** The guest says something, and what the far end sends gets to it. */
  const expectFollowed = async (): Promise<void> => {
    await announce(target)
    await expectReached(target)
  }

  const build = async (made: AsyncDisposableStack, at: number): Promise<void> => {
    const newSandbox = async (on: number, id: string, holder: string): Promise<Sandbox> => ({
      on: cluster.nodes[on] as ClusterNode,
      netns: made.use(await newLabNetns(id)),
      id,
      holder,
    })
    source = await newSandbox(0, 'r1-a', 'vm/r1')
    target = await newSandbox(1, 'r1-b', 'vm/r1')
    far = await newSandbox(at, 'h1', 'pod/h1')
  }
  const begin = async (): Promise<void> => {
    await call('ADD', source)
    await call('ADD', far)
    await expectSoon('joined', async () => areJoined(source, far))
    await call('ADD', target, { standby: true })
    await expectSoon('ready', async () => isReady(target, far))
    if (far.on !== target.on) await expectSoon('it is waited for', countsTarget)
  }
  const finish = async (): Promise<void> => {
    for (const sandbox of [target, source, far]) await call('DEL', sandbox)
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
    for (const node of cluster.nodes) {
      expect(await readLetIn(node)).to.deep.equal([])
      await expectSoon('nothing is counted', async () => (await readCounting(node)) === '')
    }
  }

  for (const [place, at] of [
    ["on the source's node", 0],
    ["on the target's node", 1],
    ['on a third node', 2],
  ] as const)
    describe(`with its far end ${place}`, () => {
      leavesNothing(async (made) => {
        cluster = made.use(await newLabCluster({ count: 3 }))
        await build(made, at)
      })
      beforeEach(begin)
      afterEach(finish)

      it('has its cable where it runs, and keeps it once the store is back', async () => {
        await using watch = await watchNic(far)
        const before = await readNic(far)
        await takeAway()
        await expectFlow(far, source, [target])
        await expectFollowed()
        await expectFlow(far, target, [source])
        await giveBack()
        await expectSoon('the target is the holder', async () =>
          (await readHolders()).includes('r1-b'),
        )
        await expectSoon('the source has no cable', async () => isDark(source))
        await expectFlow(far, target, [source])
        expect([await readNic(far), await watch.read()]).to.deep.equal([before, []])
        await call('DEL', source)
        await expectTransparent(toStation(target), toStation(far))
      })

      it('has its cable where it was, when the migration is cancelled meanwhile', async () => {
        await takeAway()
        await expectFlow(far, source, [target])
        await call('DEL', target)
        await expectFlow(far, source)
        await giveBack()
        await expectSoon('the store knows', async () => {
          const wire = await newFileStore(cluster.storeFolder).read(ID)
          return wire?.standbys.length === 0
        })
        await expectFlow(far, source)
        await expectFlow(source, far)
      })

      it('has its cable where it was, when the migration is cancelled once the store is back', async () => {
        await takeAway()
        await expectFlow(far, source, [target])
        await giveBack()
        await call('DEL', target)
        await expectFlow(far, source)
        await expectFlow(source, far)
      })

      it('has its cable again where it was, when the target goes though its guest was heard', async () => {
        await takeAway()
        await expectFollowed()
        await call('DEL', target)
        await giveBack()
        await expectSoon('the source is the holder', async () =>
          (await readHolders()).includes('r1-a'),
        )
        await expectSoon('the source has it again', async () => areJoined(source, far))
        await expectReached(source)
        await expectFlow(far, source)
        await expectFlow(source, far)
      })
    })

  describe('over an IPv6 underlay', () => {
    leavesNothing(async (made) => {
      const six = { count: 3, ipVersion: 6, underlayMtuBytes: 9300 } as const
      cluster = made.use(await newLabCluster(six))
      await build(made, 2)
    })
    beforeEach(begin)
    afterEach(finish)

    it('has its cable where it runs, and keeps it once the store is back', async () => {
      await takeAway()
      await expectFollowed()
      await giveBack()
      await expectSoon('the source has no cable', async () => isDark(source))
      await expectFlow(far, target, [source])
    })
  })

  describe('and has its far end on a third node', () => {
    leavesNothing(async (made) => {
      cluster = made.use(await newLabCluster({ count: 3 }))
      await build(made, 2)
    })
    beforeEach(begin)
    afterEach(finish)

    it('is not taken for its node, which says something itself', async () => {
      const tunnel = toTunnelDeviceName(toWireKey(ID))
      const { path: netns } = target.on.netns
      const own = newNetnsStation(run, { label: 'its node', netns, ifname: tunnel })
      await using listening = await startListening(far.netns.path, NIC)
      await own.send(newCountedFrames(3))
      await listening.stopAfter(3)
      expect(await readCounting(far.on)).to.match(/counter packets 0 /)
      await expectFlow(far, source, [target])
    })

    it('is heard after somebody flushed the nftables', async () => {
      await takeAway()
      await far.on.netns.run(['nft', 'flush', 'ruleset'])
      await expectSoon('it is waited for again', async () => {
        await toStation(source).send(newCountedFrames(1))
        return countsTarget()
      })
      await expectSoon('it is let in', async () =>
        (await readLetIn(far.on)).includes(target.on.address),
      )
      await expectFollowed()
      await giveBack()
      await expectSoon('the source has no cable', async () => isDark(source))
      await expectFlow(far, target, [source])
    })

    it('keeps its cable with agents that start and know nothing yet', async () => {
      await takeAway()
      await expectFollowed()
      const starts = []
      for (const { node } of cluster.nodes) {
        await node.stopAgent('SIGKILL')
        const from = node.readLog().length
        const starting = node.startAgent()
        starting.catch(() => undefined)
        starts.push(starting)
        await expectSoon('it waits', () =>
          node.readLog().slice(from).includes('the store is not available'),
        )
      }
      await expectFlow(far, target, [source])
      await giveBack()
      await Promise.all(starts)
      // The far end's agent may go by the store at first; the guest speaks again.
      await expectFollowed()
      await expectSoon('the target is the holder', async () => {
        await announce(target)
        return (await readHolders()).includes('r1-b')
      })
      await expectFlow(far, target, [source])
    })

    it('is heard by the far end though the agent of its own node is dead', async () => {
      await target.on.node.stopAgent('SIGKILL')
      await expectHeard(target, far, newCountedFrames(3))
      await expectFollowed()
      await expectFlow(far, target, [source])
      await target.on.node.startAgent()
      await expectSoon('the target is the holder', async () => {
        await announce(target)
        return (await readHolders()).includes('r1-b')
      })
      await expectFlow(far, target, [source])
    })
  })
})
