// A wall with two nodes in it, and cables between namespaces that are plugged in there.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniCall } from '../../lab/cni.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newFileStore } from '../../store/file-store.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
export const ID = { namespace: 'lab', name: 'w' }
export const TUNNEL = toTunnelDeviceName('lab/w')

export interface End {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly pod: string
}

function toCall(command: string, { netns, pod }: End): CniCall {
  return {
    command,
    containerID: `${pod}-${netns.name}`,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${pod}`,
  }
}

export function toHostEnd({ netns, pod }: End): string {
  return toHostEndName(`${pod}-${netns.name}`, 'eth1')
}

export async function plug(end: End, more: object = {}): Promise<void> {
  await end.on.node.mustCall({ ...CONFIG, ...more }, toCall('ADD', end))
}

export async function unplug(end: End): Promise<void> {
  await end.on.node.mustCall(CONFIG, toCall('DEL', end))
}

export async function hasCarrier({ netns }: End): Promise<boolean> {
  return (await netns.run(['ip', '-br', 'link', 'show'])).match(/^eth1\S* .*LOWER_UP/m) !== null
}

export async function setOwner({ netns }: End, state: 'up' | 'down'): Promise<void> {
  await netns.run(['ip', 'link', 'set', 'dev', 'eth1', state])
}

export function toStation({ netns, pod }: End): Station {
  return newNetnsStation(run, { label: pod, netns: netns.path, ifname: 'eth1' })
}

export async function isPassing(from: End, to: End): Promise<boolean> {
  await using capture = await toStation(to).startCapture()
  const frames = newCountedFrames(3)
  await toStation(from).send(frames)
  await sleep(100)
  return (await capture.stop()).length === frames.length
}

export async function expectPassing(from: End, to: End): Promise<void> {
  await expectSoon(`${from.pod} reaches ${to.pod}`, async () => isPassing(from, to))
}

/** An agent that looks at everything once a second, for what no event tells; disposed, it is as before. */
export async function checkOften({ node }: ClusterNode): Promise<AsyncDisposable> {
  await node.stopAgent('SIGTERM')
  await node.startAgent(['--check-seconds', '1'])
  return {
    [Symbol.asyncDispose]: async () => {
      await node.stopAgent('SIGTERM')
      await node.startAgent()
    },
  }
}

/** There once the suite's tests run. */
export interface Wall {
  readonly cluster: LabCluster
  readonly store: WireStore
  readonly n1: ClusterNode
  readonly n2: ClusterNode
  readonly spaces: readonly [LabNetns, LabNetns]
}

/** For a suite: set up before its tests, taken down behind them, and left empty by each. */
export function useWall(): () => Wall {
  let wall: Wall | undefined
  const get = (): Wall => {
    if (wall === undefined) throw new Error('The wall is not up yet: ask in a test, or in a hook')
    return wall
  }

  leavesNothing(async (made) => {
    // What events are to tell must not be found by looking at everything now and then.
    const cluster = made.use(await newLabCluster({ more: ['--check-seconds', '3600'] }))
    const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    const store = newFileStore(cluster.storeFolder)
    const spaces = [
      made.use(await newLabNetns('a', { ipv6: false })),
      made.use(await newLabNetns('b', { ipv6: false })),
    ] as const
    wall = { cluster, store, n1, n2, spaces }
  })
  afterEach('leaves nothing', async () => {
    const { cluster } = get()
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
    for (const { netns } of cluster.nodes) {
      const links = await netns.run(['ip', '-br', 'link', 'show'])
      expect(links).to.not.match(/^l[wx][0-9a-f]/m)
      const table = await netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])
      expect(table).to.not.include('elements')
    }
  })
  return get
}
