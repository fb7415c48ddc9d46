// A wire whose document says another wire's VNI, as a node that somebody has taken over may write it: that wire is
// not touched by it.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toTunnelDeviceName } from '../../../core/name.ts'
import { toPeerKey } from '../../../core/observe/observation.ts'
import { openTunnel, toWireKey, type Wire } from '../../../core/wire/wire.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { readTable } from '../../../kernel/observe/node.ts'
import { run } from '../../../kernel/run.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { startDaemon, type Daemon } from '../../../lab/daemon.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newFileStore } from '../../../store/file-store.ts'
import type { WireStore } from '../../../store/wire-store.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { hasCarrier } from '../fixture-links.ts'

const W = { namespace: 'red', name: 'w' }
const V = { namespace: 'blue', name: 'v' }

interface End {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly wire: typeof W
}

async function call(command: 'ADD' | 'DEL', { on, netns, wire }: End): Promise<void> {
  const config = { cniVersion: '1.1.0', name: wire.name, type: 'l2wire' }
  const args = `K8S_POD_NAMESPACE=${wire.namespace};K8S_POD_NAME=${netns.name}`
  const to = { containerID: netns.name, netns: netns.path, ifname: 'eth1', args }
  await on.node.mustCall(config, { command, ...to })
}

/** Every frame of a stream arrives, whatever is done meanwhile. */
async function expectNoLoss(from: End, to: End, deed: () => Promise<void>): Promise<void> {
  await using heard = await startListening(to.netns.path, 'eth1')
  const frames = newCountedFrames(3000)
  const station = newNetnsStation(run, { label: 'from', netns: from.netns.path, ifname: 'eth1' })
  const sending = station.send(frames)
  await deed()
  await sending
  expect(await heard.stopAfter(frames.length)).to.have.length(frames.length)
}

describe("a wire that is given another wire's VNI", function () {
  this.timeout(120_000)
  let cluster: LabCluster
  let store: WireStore
  let n1: ClusterNode
  let n2: ClusterNode
  let [a, b, x, y] = [] as unknown as [End, End, End, End]
  let monitor: Daemon
  let victim: number

  leavesNothing(async (made) => {
    cluster = made.use(await newLabCluster({ count: 3, more: ['--check-seconds', '3600'] }))
    const nodes = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
    ;[n1, n2] = nodes
    store = newFileStore(cluster.storeFolder)
    const newEnd = async (name: string, on: ClusterNode, wire: typeof W): Promise<End> => ({
      on,
      netns: made.use(await newLabNetns(name, { ipv6: false })),
      wire,
    })
    a = await newEnd('a', n1, W)
    b = await newEnd('b', n2, W)
    x = await newEnd('x', n2, V)
    y = await newEnd('y', nodes[2], V)
  })
  beforeEach(async () => {
    for (const end of [x, y]) await call('ADD', end)
    await expectSoon('V is joined', async () => areUp(x, y))
    victim = await readVni(V)
    // All that ever becomes of the permissions, not what is left of them.
    monitor = startDaemon(['ip', 'netns', 'exec', n2.netns.name, 'nft', 'monitor'])
  })
  afterEach(async () => {
    await monitor.end('SIGKILL')
    for (const end of [a, b, x, y]) await call('DEL', end)
    await expectSoon('store empty', async () => (await store.list(() => undefined)).length === 0)
    for (const { vni, wire } of await store.listVnis()) await store.releaseVni(vni, wire)
  })

  const readVni = async (id: typeof W): Promise<number> => (await store.read(id))?.vni ?? 0
  const areUp = async (...ends: readonly End[]): Promise<boolean> =>
    (await Promise.all(ends.map(async ({ netns }) => hasCarrier(netns)))).every(Boolean)
  const hasPeer = async (peer: string): Promise<boolean> =>
    (await readTable(async (argv) => n2.netns.run(argv))).peers.has(peer)
  /** Whoever was let in at any time. */
  const listHeard = (): readonly string[] =>
    [...monitor.readLog().matchAll(/([\d.]+) \. (\w+)/g)].map(([, address = '', vni]) =>
      toPeerKey(address, Number(vni)),
    )
  const joinW = async (): Promise<number> => {
    for (const end of [a, b]) await call('ADD', end)
    await expectSoon('W is joined', async () => areUp(a, b))
    const vni = await readVni(W)
    await expectSoon('its far end is let in', async () => hasPeer(toPeerKey(n1.address, vni)))
    // So that the monitor is known to hear of such things.
    await expectSoon('heard of', () => listHeard().includes(toPeerKey(n1.address, vni)))
    return vni
  }
  const misuse = async (): Promise<void> => {
    await store.update(W, (wire) => wire && { ...wire, vni: victim })
  }
  const expectNotLetIn = async (): Promise<void> => {
    await call('DEL', b)
    await call('ADD', b)
    await expectSoon('W is joined', async () => areUp(a, b))
    expect(listHeard()).to.not.include(toPeerKey(n1.address, victim))
    expect(await readVni(V)).to.equal(victim)
  }

  for (const name of ['by a node whose agent runs', 'by a node that goes by no rules']) {
    const isDown = name.includes('no rules')
    it(`goes on with its own: ${name}`, async () => {
      const own = await joinW()
      if (isDown) await n1.node.stopAgent('SIGKILL')
      await expectNoLoss(y, x, async () =>
        expectNoLoss(a, b, async () => {
          for (let times = 0; times < 3; times += 1) {
            await misuse()
            await expectSoon('its own again', async () => (await readVni(W)) === own)
          }
        }),
      )
      expect(n2.node.readLog() + n1.node.readLog()).to.include("is another wire's")
      if (isDown) await n1.node.startAgent()
      await expectNotLetIn()
    })
  }

  it('gets one of its own where it has had none', async () => {
    await call('ADD', a)
    await n1.node.stopAgent('SIGKILL')
    const forge = (wire: Wire | undefined): Wire | undefined => openTunnel(wire, 'n1', victim)
    await store.update(W, forge)
    await expectNoLoss(y, x, async () => call('ADD', b))
    expect(await readVni(W)).to.not.equal(victim)
    await n1.node.startAgent()
    await expectNotLetIn()
  })

  it('is not joined where nothing but the kernel knows whose it is', async () => {
    const own = await joinW()
    await n1.node.stopAgent('SIGKILL')
    await store.releaseVni(victim, V)
    await store.claimVni(W, { first: 1, last: 1 }, victim)
    const from = n2.node.readLog().length
    await expectNoLoss(y, x, async () => {
      await misuse()
      await expectSoon('it says why not', () =>
        n2.node.readLog().slice(from).includes('cannot bring a wire to where it should be'),
      )
    })
    expect(n2.node.readLog().slice(from)).to.include(toTunnelDeviceName(toWireKey(W)))
    expect(
      await hasPeer(toPeerKey(n1.address, own)),
      'the old permission is gone with its device',
    ).to.equal(false)
    await store.releaseVni(victim, W)
    await store.claimVni(V, { first: 1, last: 1 }, victim)
    await n1.node.startAgent()
    await expectSoon('one of its own', async () => (await readVni(W)) !== victim)
    await expectNotLetIn()
  })
})
