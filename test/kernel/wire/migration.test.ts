// A VM that moves to another node: its target's sandbox takes nothing until the guest runs there, which its first frame
// tells. Without a cluster the ADD says that it is a target.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toHostEndName, toPodLinkName } from '../../../core/name.ts'
import { summarizeWire } from '../../../core/wire/summary.ts'
import { releaseEnd } from '../../../core/wire/ends.ts'
import type { Wire } from '../../../core/wire/wire.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newFileStore } from '../../../store/file-store.ts'
import type { WireStore } from '../../../store/wire-store.ts'
import { expectSoon } from '../../expect-soon.ts'
import { expectTransparent } from '../../expect-transparent.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { readLinks } from '../fixture-links.ts'
import {
  announce,
  ANNOUNCEMENT,
  areJoined,
  call,
  expectCable,
  expectFlow,
  expectHeard,
  isDark,
  isReady,
  listTunnels,
  NIC,
  readLetIn,
  readNic,
  toStation,
  watchNic,
  type Sandbox,
} from '../fixture-migration.ts'

const ID = { namespace: 'lab', name: 'w' }

describe('a VM that migrates', function () {
  this.timeout(90_000)
  leavesNothing()

  let cluster: LabCluster
  let source: Sandbox
  let target: Sandbox
  let far: Sandbox

  const isGivenBack = async (): Promise<boolean> =>
    (await cluster.listStore()).every((file) => !file.startsWith('vni/'))

  for (const [place, at] of [
    ["on the source's node", 0],
    ["on the target's node", 1],
    ['on a third node', 2],
  ] as const)
    describe(`with its far end ${place}`, () => {
      leavesNothing(async (made) => {
        cluster = made.use(await newLabCluster({ count: 3 }))
        const newSandbox = async (on: number, id: string, holder: string): Promise<Sandbox> => ({
          on: cluster.nodes[on] as ClusterNode,
          netns: made.use(await newLabNetns(id)),
          id,
          holder,
        })
        source = await newSandbox(0, 'r1-a', 'vm/r1')
        target = await newSandbox(1, 'r1-b', 'vm/r1')
        far = await newSandbox(at, 'h1', 'pod/h1')
      })
      beforeEach(async () => {
        await call('ADD', source)
        await call('ADD', far)
        await expectSoon('joined', async () => areJoined(source, far))
        await call('ADD', target, { standby: true })
        await expectSoon('ready', async () => isReady(target, far))
      })
      afterEach(async () => {
        for (const sandbox of [target, source, far]) await call('DEL', sandbox)
        await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
      })

      it('keeps its cable while the target is made ready, and when the migration is cancelled', async () => {
        await expectFlow(far, source, [target])
        await expectFlow(source, far, [target])
        await call('DEL', target)
        await expectFlow(far, source)
        await expectFlow(source, far)
      })

      it('has its cable where it runs, from its first frame on', async () => {
        await expectHeard(target, far, [ANNOUNCEMENT, ...newCountedFrames(300)])
        await expectSoon('the source has no cable', async () => isDark(source))
        await expectFlow(far, target, [source])
        await expectFlow(target, far, [source])
        await call('DEL', source)
        await expectTransparent(toStation(target), toStation(far))
      })

      it('has its cable again where it still runs, once the target goes after all', async () => {
        await announce(target)
        await expectSoon('the source has no cable', async () => isDark(source))
        await call('DEL', target)
        await expectSoon('the source has it again', async () => areJoined(source, far))
        await expectFlow(far, source)
        await expectFlow(source, far)
      })

      it('has its cable when agents were started again meanwhile', async () => {
        for (const { node } of cluster.nodes) await node.stopAgent('SIGKILL')
        for (const { node } of cluster.nodes) await node.startAgent()
        await expectFlow(far, source, [target])
        await expectSoon('the target is waited for', async () => {
          await announce(target)
          return isDark(source)
        })
        await expectFlow(far, target, [source])
        await expectFlow(target, far, [source])
      })
    })

  describe('wherever it moves', () => {
    let store: WireStore
    let n1: ClusterNode
    let n2: ClusterNode
    let n3: ClusterNode
    let made: AsyncDisposableStack
    let sandboxes: Sandbox[]

    leavesNothing(async (shared) => {
      cluster = shared.use(await newLabCluster({ count: 3 }))
      store = newFileStore(cluster.storeFolder)
      ;[n1, n2, n3] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
    })
    beforeEach(() => {
      made = new AsyncDisposableStack()
      sandboxes = []
    })
    afterEach('leaves nothing', async () => {
      for (const sandbox of sandboxes) await call('DEL', sandbox)
      await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
      for (const node of cluster.nodes) {
        expect(await listTunnels(node)).to.deep.equal([])
        expect(await readLetIn(node)).to.deep.equal([])
      }
      await made.disposeAsync()
    })

    const plug = async (
      on: ClusterNode,
      id: string,
      holder: string,
      more: object = {},
    ): Promise<Sandbox> => {
      const sandbox = { on, netns: made.use(await newLabNetns(id)), id, holder }
      sandboxes.push(sandbox)
      await call('ADD', sandbox, more)
      return sandbox
    }
    const migrate = async (on: ClusterNode, id: string, holder: string): Promise<Sandbox> =>
      plug(on, id, holder, { standby: true })
    const unplug = async (sandbox: Sandbox): Promise<void> => {
      sandboxes = sandboxes.filter((one) => one !== sandbox)
      await call('DEL', sandbox)
    }
    const readWire = async (): Promise<Wire> => {
      const wire = await store.read(ID)
      if (wire === undefined) throw new Error('There is no such wire')
      return wire
    }
    const holds = async ({ id }: Sandbox): Promise<boolean> =>
      (await readWire()).ends.some(({ containerID }) => containerID === id)
    const standsBy = async ({ id }: Sandbox): Promise<boolean> =>
      (await store.read(ID))?.standbys.some(
        ({ containerID, isTarget }) => isTarget && containerID === id,
      ) ?? false
    const expectHolds = async (sandbox: Sandbox): Promise<void> =>
      expectSoon(`${sandbox.id} has the end`, async () => holds(sandbox))

    const newVm = async (on: ClusterNode, id: string): Promise<readonly [Sandbox, Sandbox]> => {
      const vm = { on, netns: made.use(await newLabNetns(id)), id, holder: 'vm/r1' }
      return [vm, { ...vm, ifname: toPodLinkName('ge1') }]
    }

    it('has its cable on each of the nodes that it comes to without a pause, and back where it was', async () => {
      let source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      const older = [source]
      for (const [at, node] of [n2, n3, n1].entries()) {
        const target = await migrate(node, `r1-${at}`, 'vm/r1')
        await expectSoon('ready', async () => areJoined(source, h1, target))
        await announce(target)
        await expectSoon('the source has no cable', async () => isDark(source))
        await expectCable(target, h1, older)
        older.push(target)
        source = target
      }
      for (const one of older.slice(0, -1)) await unplug(one)
      await expectCable(source, h1)
    })

    it('has the newest of its older sandboxes where it runs, once it fails to stay', async () => {
      const first = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n1, 'h1', 'pod/h1')
      const second = await migrate(n2, 'r1-b', 'vm/r1')
      await announce(second)
      await expectHolds(second)
      const third = await migrate(n3, 'r1-c', 'vm/r1')
      await announce(third)
      await expectHolds(third)
      await unplug(third)
      await expectSoon('the second has it again', async () => areJoined(second, h1))
      await expectCable(second, h1, [first])
      await unplug(second)
      await expectSoon('the first has it again', async () => areJoined(first, h1))
      await expectCable(first, h1)
    })

    it('sees nothing of it at either end: no carrier goes, no interface is another one', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      await expectSoon('joined', async () => areJoined(source, h1))
      await using farWatch = await watchNic(h1)
      const before = await readNic(h1)
      const target = await migrate(n2, 'r1-b', 'vm/r1')
      await expectSoon('ready', async () => areJoined(target))
      await using watch = await watchNic(target)
      const made = await readNic(target)
      await announce(target)
      await expectSoon('the source has no cable', async () => isDark(source))
      await unplug(source)
      expect([await readNic(h1), await readNic(target)]).to.deep.equal([before, made])
      expect([await farWatch.read(), await watch.read()]).to.deep.equal([[], []])
      // Who listens is told of, too.
      await expectCable(target, h1)
    })

    for (const [what, on] of [
      ['to one node', [1, 1]],
      ['to different ones', [1, 2]],
      ['and change places', [2, 0]],
    ] as const)
      it(`has its cable when the VM at the far end migrates at once, ${what}`, async () => {
        const sources = [
          await plug(n1, 'r1-a', 'vm/r1'),
          await plug(what === 'and change places' ? n3 : n1, 'r2-a', 'vm/r2'),
        ] as const
        await expectSoon('joined', async () => areJoined(...sources))
        const [first, second] = await Promise.all([
          migrate(cluster.nodes[on[0]] as ClusterNode, 'r1-b', 'vm/r1'),
          migrate(cluster.nodes[on[1]] as ClusterNode, 'r2-b', 'vm/r2'),
        ])
        await expectCable(...sources, [first, second])
        await Promise.all([announce(first), announce(second)])
        await expectSoon('both have come', async () => (await holds(first)) && holds(second))
        await expectSoon('the sources have no cable', async () =>
          (await Promise.all(sources.map(isDark))).every(Boolean),
        )
        await expectSoon('joined', async () => areJoined(first, second))
        await expectCable(first, second, sources)
        for (const source of sources) await unplug(source)
        await expectCable(first, second)
      })

    it("has both its ends where it runs, when they are one VM's", async () => {
      const source = await newVm(n1, 'r1-a')
      const target = await newVm(n2, 'r1-b')
      sandboxes.push(...source, ...target)
      for (const nic of source) await call('ADD', nic)
      await expectSoon('joined', async () => areJoined(...source))
      for (const nic of target) await call('ADD', nic, { standby: true })
      await expectCable(...source, target)
      await announce(target[1])
      await expectSoon('both NICs have no cable', async () =>
        (await Promise.all(source.map(isDark))).every(Boolean),
      )
      await expectSoon('joined', async () => areJoined(...target))
      await expectCable(...target, source)
      for (const nic of source) await unplug(nic)
      await expectCable(...target)
    })

    it('gives back all that was ready for a migration that is cancelled', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n1, 'h1', 'pod/h1')
      const target = await migrate(n2, 'r1-b', 'vm/r1')
      await expectSoon('ready', async () => (await listTunnels(n1)).length === 1)
      expect([await readLetIn(n1), await readLetIn(n2)]).to.deep.equal([[n2.address], [n1.address]])
      expect(await isGivenBack()).to.equal(false)
      await unplug(target)
      await expectSoon('given back', isGivenBack)
      for (const node of [n1, n2]) {
        expect(await listTunnels(node)).to.deep.equal([])
        expect(await readLetIn(node)).to.deep.equal([])
      }
      await expectCable(source, h1)
    })

    it('lets its target in beside the source while it may come, and no longer', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      const isLetIn = async (...nodes: readonly ClusterNode[]): Promise<boolean> =>
        (await readLetIn(n3)).join() === nodes.map(({ address }) => address).join()
      const cancelled = await migrate(n2, 'r1-b', 'vm/r1')
      await expectSoon('both are let in', async () => isLetIn(n1, n2))
      await unplug(cancelled)
      await expectSoon('the source alone', async () => isLetIn(n1))
      const target = await migrate(n2, 'r1-c', 'vm/r1')
      await expectSoon('both are let in', async () => isLetIn(n1, n2))
      await announce(target)
      await expectSoon('the target alone', async () => isLetIn(n2))
      await expectCable(target, h1, [source])
    })

    it('lets nobody in any more once its far end goes, though the agent knows of the target by what it reads', async () => {
      await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      await migrate(n2, 'r1-b', 'vm/r1')
      await expectSoon('both are let in', async () => (await readLetIn(n3)).length === 2)
      await n3.node.stopAgent('SIGKILL')
      await n3.node.startAgent()
      await unplug(h1)
      expect(await readLetIn(n3)).to.deep.equal([])
    })

    it('has its cable when the agent is killed before it has heard of the guest that came', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      const target = await migrate(n2, 'r1-b', 'vm/r1')
      await expectSoon('ready', async () => isReady(target, h1))
      process.kill(n2.node.readPid(), 'SIGSTOP')
      await expectHeard(target, h1, [ANNOUNCEMENT])
      await n2.node.stopAgent('SIGKILL')
      await n2.node.startAgent()
      expect(await standsBy(target)).to.equal(true)
      await expectSoon('the next frame is heard', async () => {
        await announce(target)
        return isDark(source)
      })
      await expectCable(target, h1, [source])
    })

    it('has a target that comes back when somebody deletes its devices, and hears its guest then', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      const target = await migrate(n2, 'r1-b', 'vm/r1')
      const index = async (): Promise<number | undefined> =>
        (await readLinks(target.netns)).get(NIC)?.ifindex
      const before = await index()
      const device = toHostEndName(target.id, NIC)
      await n2.netns.run(['ip', 'link', 'del', 'dev', device])
      await expectSoon('another one is there', async () => {
        const now = await index()
        return now !== undefined && now !== before && areJoined(target)
      })
      await expectCable(source, h1, [target])
      await announce(target)
      await expectSoon('the source has no cable', async () => isDark(source))
      await expectCable(target, h1, [source])
    })

    for (const what of ['the claim of its target', 'the wire'])
      it(`keeps its cable, and has it where it comes to, when somebody removes ${what}`, async () => {
        const source = await plug(n1, 'r1-a', 'vm/r1')
        const h1 = await plug(n3, 'h1', 'pod/h1')
        const target = await migrate(n2, 'r1-b', 'vm/r1')
        await store.update(ID, (wire) =>
          what === 'the wire'
            ? undefined
            : releaseEnd(wire, { containerID: target.id, ifname: NIC }),
        )
        await expectSoon('it stands by again', async () => standsBy(target))
        await expectSoon('joined', async () => {
          const isConnected = summarizeWire(await readWire()).state === 'Connected'
          return isConnected && (await holds(source)) && areJoined(source, h1, target)
        })
        await expectCable(source, h1, [target])
        await announce(target)
        await expectSoon('the source has no cable', async () => isDark(source))
        await expectCable(target, h1, [source])
      })

    it('has its cable where it was, though somebody deleted the devices there meanwhile', async () => {
      const source = await plug(n1, 'r1-a', 'vm/r1')
      const h1 = await plug(n3, 'h1', 'pod/h1')
      const target = await migrate(n2, 'r1-b', 'vm/r1')
      await announce(target)
      await expectSoon('the source has no cable', async () => isDark(source))
      await n1.netns.run(['ip', 'link', 'del', 'dev', toHostEndName(source.id, NIC)])
      await unplug(target)
      await expectHolds(source)
      await expectSoon('joined', async () => {
        const links = await readLinks(source.netns)
        return links.has(NIC) && areJoined(source, h1)
      })
      await expectCable(source, h1)
    })
  })

  it('has its cable over an IPv6 underlay', async () => {
    await using six = await newLabCluster({ count: 3, ipVersion: 6, underlayMtuBytes: 9300 })
    const nodes = six.nodes as [ClusterNode, ClusterNode, ClusterNode]
    await using home = await newLabNetns('r1-a')
    await using away = await newLabNetns('r1-b')
    await using there = await newLabNetns('h1')
    source = { on: nodes[0], netns: home, id: 'r1-a', holder: 'vm/r1' }
    target = { on: nodes[1], netns: away, id: 'r1-b', holder: 'vm/r1' }
    far = { on: nodes[2], netns: there, id: 'h1', holder: 'pod/h1' }
    await call('ADD', source)
    await call('ADD', far)
    await expectSoon('joined', async () => areJoined(source, far))
    await call('ADD', target, { standby: true })
    await expectSoon('ready', async () => isReady(target, far))
    await expectCable(source, far, [target])
    await expectHeard(target, far, [ANNOUNCEMENT, ...newCountedFrames(300)])
    await expectSoon('the source has no cable', async () => isDark(source))
    await call('DEL', source)
    await expectTransparent(toStation(target), toStation(far))
    for (const sandbox of [target, far]) await call('DEL', sandbox)
    await expectSoon('store empty', async () => (await six.listStore()).length === 0)
    for (const node of six.nodes) expect(await readLetIn(node)).to.deep.equal([])
  })
})
