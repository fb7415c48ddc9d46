// Names as long as Kubernetes and the kernel let them be, all at once, on nodes across.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName, toTunnelDeviceName } from '../../../core/name.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { GUEST_NIC, openTap } from '../../../lab/tap-opener.ts'
import { listFolder } from '../../../store/json-file.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { hasCarrier } from '../fixture-links.ts'

const NAMESPACE = 'n'.repeat(63)
const WIRE = 'w'.repeat(128)
const TUNNEL = toTunnelDeviceName(`${NAMESPACE}/${WIRE}`)
const CONFIG = { cniVersion: '1.1.0', name: WIRE, type: 'l2wire' }
const NETWORK = 'g'.repeat(253)
const POD_LINK = toPodLinkName(NETWORK)
const BINDING = {
  cniVersion: '1.1.0',
  name: 'b'.repeat(128),
  type: 'l2wire-bind',
  args: { cni: { logicNetworkName: NETWORK } },
}
const IFNAME = 'i'.repeat(15)
const MAC = '02:00:5e:00:53:07'

interface End {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly ifname: string
  /** Of which the names of its pod and sandbox are made. */
  readonly letter: string
}

async function call(
  command: string,
  { on, netns, ifname, letter }: End,
  config: Readonly<Record<string, unknown>> = CONFIG,
): Promise<void> {
  const containerID = letter.repeat(200)
  const args = `K8S_POD_NAMESPACE=${NAMESPACE};K8S_POD_NAME=${letter.repeat(253)}`
  const environment: CniCall = { command, containerID, netns: netns.path, ifname, args }
  await on.node.mustCall(config, environment)
}

async function expectPassing(from: Station, netns: LabNetns, ifname: string): Promise<void> {
  const frames = newCountedFrames(50)
  await using capture = await startListening(netns.path, ifname)
  await from.send(frames)
  expect((await capture.stopAfter(frames.length)).length).to.equal(frames.length)
}

function toStation(netns: LabNetns, ifname: string): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname })
}

for (const ipVersion of [4, 6] as const)
  describe(`names of full length, over IPv${ipVersion}`, function () {
    this.timeout(120_000)
    let cluster: LabCluster
    let a: End
    let b: End

    leavesNothing(async (made) => {
      const more = ['--check-seconds', '1']
      cluster = made.use(
        await newLabCluster({ prefix: 'k'.repeat(252), ipVersion, underlayMtuBytes: 9300, more }),
      )
      const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
      const container = made.use(await newLabNetns('a', { ipv6: false }))
      const launcher = made.use(await newLabNetns('b'))
      a = { on: n1, netns: container, ifname: IFNAME, letter: 'a' }
      b = { on: n2, netns: launcher, ifname: POD_LINK, letter: 'b' }
    })
    afterEach('leaves nothing', async () => {
      await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
      for (const { netns } of cluster.nodes)
        await expectSoon('no device', async () => {
          const links = await netns.run(['ip', '-br', 'link', 'show'])
          return !/^l[wx][0-9a-f]/m.test(links)
        })
    })

    const plug = async (): Promise<void> => {
      await call('ADD', a)
      await call('ADD', b)
      await expectSoon('joined', async () => hasCarrier(a.netns, a.ifname))
      await expectSoon('joined', async () => hasCarrier(b.netns, b.ifname))
    }
    const unplug = async (): Promise<void> => {
      await call('DEL', b)
      await call('DEL', a)
    }

    it('a container and a VM hear each other, and agents started again change nothing', async () => {
      const froms = cluster.nodes.map(({ node }) => node.readLog().length)
      await plug()
      const binding = { ...b, ifname: 'net123456789012' }
      await call('ADD', binding, BINDING)
      await using guest = await newLabNetns('guest', { ipv6: false })
      {
        await using _ = await openTap(b.netns, toTapName(POD_LINK), guest, MAC)
        await expectPassing(toStation(a.netns, a.ifname), guest, GUEST_NIC)
        await expectPassing(toStation(guest, GUEST_NIC), a.netns, a.ifname)
        for (const { node } of cluster.nodes) {
          await node.stopAgent('SIGKILL')
          await node.startAgent()
          expect(node.readLog().split('"recovered"').at(-2)).to.include('"mended":0')
        }
        await expectPassing(toStation(a.netns, a.ifname), guest, GUEST_NIC)
      }
      for (const [at, { node }] of cluster.nodes.entries())
        expect(node.readLog().slice(froms[at])).to.not.include('"level":50')
      await call('DEL', binding, BINDING)
      await unplug()
    })

    for (const { name, files } of [
      { name: 'its VNI is claimed', files: (all: readonly string[]) => all.filter(isWire) },
      { name: 'nobody knows of it', files: (all: readonly string[]) => all },
    ])
      it(`a tunnel goes whose wire and documents went while its agent was away: ${name}`, async () => {
        await plug()
        for (const { node } of cluster.nodes) {
          await node.stopAgent('SIGKILL')
          await rm(join(node.stateDir, 'attachments'), { recursive: true })
        }
        for (const file of files(await cluster.listStore()))
          await rm(join(cluster.storeFolder, file))
        for (const { node } of cluster.nodes) await node.startAgent()
        for (const { netns } of cluster.nodes)
          await expectSoon('no tunnel', async () => {
            const links = await netns.run(['ip', '-br', 'link', 'show'])
            return !links.includes(TUNNEL)
          })
        await expectSoon('no VNI', async () => (await cluster.listStore()).length === 0)
        for (const { netns } of cluster.nodes)
          await expectSoon('nobody is let in', async () => {
            const table = await netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])
            return !table.includes('elements')
          })
        await unplug()
      })

    it('each agent holds the name of its node', async () => {
      const names = await listFolder(join(cluster.storeFolder, 'nodes'))
      expect(names.length).to.equal(cluster.nodes.length)
    })
  })

function isWire(file: string): boolean {
  return file.endsWith('.json')
}
