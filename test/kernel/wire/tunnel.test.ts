// Wires between emulated nodes: a namespace and a real agent each, an underlay between them.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { toTunnelDeviceName } from '../../../core/name.ts'
import { FRAME_ROWS } from '../../../core/tester/frames.ts'
import { testCable, testIdle } from '../../../kernel/tester/cable-test.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { newLabCluster, UNDERLAY, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode } from '../../../lab/node.ts'
import { expectSoon } from '../../expect-soon.ts'
import { expectTransparent } from '../../expect-transparent.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { hasCarrier } from '../fixture-links.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }
const TUNNEL = toTunnelDeviceName('lab/w')

function toCall(command: string, netns: LabNetns, pod: string): CniCall {
  return {
    command,
    containerID: `${pod}-${netns.name}`,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${pod}`,
  }
}

function toStation(netns: LabNetns, label: string): Station {
  return newNetnsStation(run, { label, netns: netns.path, ifname: 'eth1' })
}

async function add(on: ClusterNode, netns: LabNetns, pod: string): Promise<void> {
  await on.node.mustCall(CONFIG, toCall('ADD', netns, pod))
}

async function del(on: ClusterNode, netns: LabNetns, pod: string): Promise<void> {
  await on.node.mustCall(CONFIG, toCall('DEL', netns, pod))
}

describe('wires across nodes', function () {
  this.timeout(90_000)

  leavesNothing()

  // The kernel sends what is too long for an IPv4 underlay in fragments, and drops it on IPv6
  // (docs/decisions/0007): there the longest frames need an underlay with room for them.
  const underlays = [
    { ipVersion: 4, underlayMtuBytes: 1500 },
    { ipVersion: 6, underlayMtuBytes: 9300 },
  ] as const
  for (const { ipVersion, underlayMtuBytes } of underlays)
    describe(`over an IPv${ipVersion} underlay of ${underlayMtuBytes} bytes`, () => {
      let cluster: LabCluster
      let n1: ClusterNode
      let n2: ClusterNode
      let n3: ClusterNode
      let a: LabNetns
      let b: LabNetns

      before(async () => {
        cluster = await newLabCluster({ count: 3, ipVersion, underlayMtuBytes })
        ;[n1, n2, n3] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
        a = await newLabNetns('a', { ipv6: false })
        b = await newLabNetns('b', { ipv6: false })
      })
      after(async () => {
        await b[Symbol.asyncDispose]()
        await a[Symbol.asyncDispose]()
        await cluster[Symbol.asyncDispose]()
      })
      afterEach('leaves nothing', async () => {
        await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
        for (const { netns } of cluster.nodes) {
          const links = await netns.run(['ip', '-br', 'link', 'show'])
          expect(links).to.not.match(/^l[wx][0-9a-f]/m)
          expect(await netns.run(['nft', 'list', 'table', 'inet', 'l2wire'])).to.not.include(
            'elements',
          )
        }
      })

      const bothHaveCarrier = async (): Promise<boolean> =>
        (await hasCarrier(a)) && (await hasCarrier(b))

      const orders = [
        ['a', 'b'],
        ['b', 'a'],
      ] as const
      // Who comes first is the same for either underlay.
      for (const [first, second] of ipVersion === 4 ? orders : orders.slice(0, 1))
        it(`carry every frame class both ways, ${first} plugged before ${second}; idle they are silent`, async () => {
          const plug = { a: async () => add(n1, a, 'h1'), b: async () => add(n2, b, 'h2') }
          await plug[first]()
          await plug[second]()
          await expectSoon('joined', bothHaveCarrier)
          await expectTransparent(toStation(a, 'a'), toStation(b, 'b'))
          const [idle = []] = await testIdle([{ a: toStation(a, 'a'), b: toStation(b, 'b') }], 3)
          expect(
            idle.flatMap(({ verdicts }) => verdicts).map(({ outcome }) => outcome),
          ).to.deep.equal(['delivered', 'delivered'])
          await del(n1, a, 'h1')
          await expectSoon('b without carrier', async () => !(await hasCarrier(b)))
          await del(n2, b, 'h2')
        })

      it('drop what does not come from the far end of this very wire', async () => {
        await add(n1, a, 'h1')
        await add(n2, b, 'h2')
        await expectSoon('joined', bothHaveCarrier)
        const [vni = ''] = (await cluster.listStore()).filter((name) => name.startsWith('vni/'))
        // A stranger on the underlay that knows port and VNI.
        const id = vni.slice('vni/'.length)
        const vxlan = [
          'type',
          'vxlan',
          'id',
          id,
          'local',
          n3.address,
          'remote',
          n1.address,
          'dstport',
          '14789',
        ]
        await n3.netns.run([
          'ip',
          'link',
          'add',
          'name',
          'eth1',
          'mtu',
          '9216',
          ...vxlan,
          'nolearning',
        ])
        await n3.netns.run(['ip', 'link', 'set', 'dev', 'eth1', 'addrgenmode', 'none', 'up'])
        await using capture = await toStation(a, 'a').startCapture()
        await toStation(n3.netns, 'n3').send(
          FRAME_ROWS.slice(0, 8).flatMap((row) =>
            row.frames({ sender: '02:00:00:00:00:01', receiver: '02:00:00:00:00:02' }),
          ),
        )
        await sleep(500)
        expect(await capture.stop()).to.deep.equal([])
        const counted = await n1.netns.run(['nft', 'list', 'chain', 'inet', 'l2wire', 'input'])
        expect(counted, 'they came as far as the node').to.match(/counter packets [1-9]/)
        await n3.netns.run(['ip', 'link', 'del', 'dev', 'eth1'])
        await del(n1, a, 'h1')
        await del(n2, b, 'h2')
      })

      it('follow an end to another node, and back onto one; the surviving end is never replaced', async () => {
        await add(n1, a, 'h1')
        await add(n2, b, 'h2')
        await expectSoon('joined', bothHaveCarrier)
        const earlier = await a.run(['ip', '-o', 'link', 'show', 'dev', 'eth1'])
        await using moved = await newLabNetns('moved', { ipv6: false })
        // The pod is back on node 3 before node 2 has heard of its end.
        await add(n3, moved, 'h2')
        await expectSoon(
          'joined with node 3',
          async () => (await hasCarrier(moved)) && !(await hasCarrier(b)),
        )
        // Its end has carrier all along.
        await expectSoon('node 1 sends to node 3', async () =>
          (await n1.netns.run(['ip', '-d', 'link', 'show', 'dev', TUNNEL])).includes(
            `remote ${n3.address} `,
          ),
        )
        await expectTransparent(toStation(a, 'a'), toStation(moved, 'moved'))
        await del(n2, b, 'h2')
        await expectTransparent(toStation(a, 'a'), toStation(moved, 'moved'))
        await using home = await newLabNetns('home', { ipv6: false })
        await add(n1, home, 'h2')
        await expectSoon(
          'joined on one node',
          async () => (await hasCarrier(home)) && (await hasCarrier(a)),
        )
        await expectSoon('no VNI any more', async () => (await cluster.listStore()).length === 1)
        await expectTransparent(toStation(a, 'a'), toStation(home, 'home'))
        const [name = ''] = earlier.split('@')
        expect((await a.run(['ip', '-o', 'link', 'show', 'dev', 'eth1'])).split('@')[0]).to.equal(
          name,
        )
        await del(n3, moved, 'h2')
        await del(n1, home, 'h2')
        await del(n1, a, 'h1')
      })

      it('keep carrying while both agents are killed and started again', async () => {
        await add(n1, a, 'h1')
        await add(n2, b, 'h2')
        await expectSoon('joined', bothHaveCarrier)
        await using capture = await startListening(b.path, 'eth1')
        const frames = newCountedFrames(3000)
        const sending = toStation(a, 'a').send(frames)
        for (const { node } of [n1, n2]) {
          await node.stopAgent('SIGKILL')
          await node.startAgent()
        }
        await sending
        expect((await capture.stopAfter(frames.length)).length).to.equal(frames.length)
        await del(n1, a, 'h1')
        await del(n2, b, 'h2')
      })

      it('close what an agent missed while it was away', async () => {
        await add(n1, a, 'h1')
        await add(n2, b, 'h2')
        await expectSoon('joined', bothHaveCarrier)
        await n1.node.stopAgent('SIGTERM')
        await del(n2, b, 'h2')
        expect(
          (await cluster.listStore()).length,
          'the VNI rests while node 1 may still send with it',
        ).to.equal(2)
        await n1.node.startAgent()
        await expectSoon('a without carrier', async () => !(await hasCarrier(a)))
        await del(n1, a, 'h1')
      })
    })

  for (const { ipVersion, mtuBytes } of [
    { ipVersion: 4, mtuBytes: 1450 },
    { ipVersion: 6, mtuBytes: 1430 },
  ] as const)
    it(`tell their ends an MTU that crosses an IPv${ipVersion} underlay whole`, async () => {
      await using cluster = await newLabCluster({ ipVersion })
      const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
      await using a = await newLabNetns('a', { ipv6: false })
      await using b = await newLabNetns('b', { ipv6: false })
      const { mtu: _, ...config } = CONFIG
      await n1.node.mustCall(config, toCall('ADD', a, 'h1'))
      await n2.node.mustCall(config, toCall('ADD', b, 'h2'))
      await expectSoon('joined', async () => (await hasCarrier(a)) && (await hasCarrier(b)))
      const columns = await testCable({ a: toStation(a, 'a'), b: toStation(b, 'b') }, FRAME_ROWS)
      const outcomes = columns.flatMap(({ verdicts }) => verdicts)
      expect(outcomes.filter(({ outcome }) => outcome === 'lost')).to.deep.equal([])
      const tooLong = outcomes.filter(({ outcome }) => outcome === 'too long')
      expect(tooLong.map(({ fault }) => fault).join()).to.include(`MTU of a NIC is ${mtuBytes}`)
      await n1.node.mustCall(config, toCall('DEL', a, 'h1'))
      await n2.node.mustCall(config, toCall('DEL', b, 'h2'))
    })

  it('use the port and the VNIs they are told, and say when there are none left', async () => {
    const more = ['--vxlan-port', '14999', '--vni-range', '70-70']
    await using cluster = await newLabCluster({ more })
    const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    await using a = await newLabNetns('a', { ipv6: false })
    await using b = await newLabNetns('b', { ipv6: false })
    await n1.node.mustCall(CONFIG, toCall('ADD', a, 'h1'))
    await n2.node.mustCall(CONFIG, toCall('ADD', b, 'h2'))
    await expectSoon('tunnel on n1', async () =>
      (await n1.netns.run(['ip', '-br', 'link', 'show'])).includes(TUNNEL),
    )
    const device = await n1.netns.run(['ip', '-d', 'link', 'show', 'dev', TUNNEL])
    expect(device).to.include('vxlan id 70 ').and.include('dstport 14999 nolearning')
    expect(await n1.netns.run(['ip', '-o', 'link', 'show', 'dev', UNDERLAY])).to.include('UP')
    const second = { ...CONFIG, name: 'w2' }
    const call = (command: string, netns: LabNetns, pod: string): CniCall => ({
      ...toCall(command, netns, pod),
      ifname: 'eth2',
    })
    await n1.node.mustCall(second, call('ADD', a, 'h1'))
    const refused = await n2.node.call(second, call('ADD', b, 'h2'))
    expect(refused.output).to.include({ code: 107 })
    expect(refused.output?.['msg']).to.include('70 to 70')
    const asked = await n2.node.call({ ...second, vni: 70 }, call('ADD', b, 'h2'))
    expect(asked.output).to.include({ code: 108 })
    await n2.node.mustCall({ ...second, vni: 4711 }, call('ADD', b, 'h2'))
    expect(await cluster.listStore()).to.deep.equal([
      'lab.w.json',
      'lab.w2.json',
      'vni/4711',
      'vni/70',
    ])
    for (const [on, netns, pod] of [
      [n1, a, 'h1'],
      [n2, b, 'h2'],
    ] as const) {
      await on.node.mustCall(second, call('DEL', netns, pod))
      await on.node.mustCall(CONFIG, toCall('DEL', netns, pod))
    }
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
  })

  it('are refused by a node without underlay, and nothing is left', async () => {
    await using cluster = await newLabCluster({ count: 1 })
    const [n1] = cluster.nodes as [ClusterNode]
    await using alone = await newLabNode({
      nodeName: 'alone',
      storeFolder: n1.node.storeUrl.slice('file://'.length),
    })
    await using a = await newLabNetns('a', { ipv6: false })
    await using b = await newLabNetns('b', { ipv6: false })
    await n1.node.mustCall(CONFIG, toCall('ADD', a, 'h1'))
    const refused = await alone.call(CONFIG, toCall('ADD', b, 'h2'))
    expect(refused.output).to.include({ code: 106 })
    expect(refused.output?.['msg']).to.include('"alone"').and.include('192.0.2.1')
    expect(await b.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
    await n1.node.mustCall(CONFIG, toCall('DEL', a, 'h1'))
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
  })
})
