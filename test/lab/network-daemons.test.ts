// A node's own network daemons beside cables: each takes our devices for networks to configure, with a
// configuration that takes every device, and leaves them alone once it is told.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../core/name.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniCall } from '../../lab/cni.ts'
import { runCommand } from '../../lab/command.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { startNetworkd, startNetworkManager, startUdev } from '../../lab/network-daemons.ts'
import { expectSoon } from '../expect-soon.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { startListening } from '../listening.ts'
import { eachLeavesNothing } from '../nothing-left.ts'
import { hasCarrier } from '../kernel/fixture-links.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }
const TUNNEL = toTunnelDeviceName('lab/w')
/** Untold daemons speak within a tenth of a second. */
const SILENCE_MS = 1_500

function toCall(command: string, netns: LabNetns, pod: string): CniCall {
  return {
    command,
    containerID: pod,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${pod}`,
  }
}

function toStation(netns: LabNetns, label: string): Station {
  return newNetnsStation(run, { label, netns: netns.path, ifname: 'eth1' })
}

describe('network daemons of a node', function () {
  let made: AsyncDisposableStack
  let folder = ''
  let cluster: LabCluster
  let n1: ClusterNode
  let a: LabNetns
  let b: LabNetns

  eachLeavesNothing(async (stack) => {
    made = stack
    folder = made.use(await newTemporaryFolder('etc')).path
    await mkdir(join(folder, 'conf.d'))
    await mkdir(join(folder, 'network'))
    await mkdir(join(folder, 'plugins'))
    cluster = made.use(await newLabCluster())
    ;[n1] = cluster.nodes as [ClusterNode, ClusterNode]
    a = made.use(await newLabNetns('a', { ipv6: false }))
    b = made.use(await newLabNetns('b', { ipv6: false }))
  })

  const plug = async (): Promise<void> => {
    const [, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    await n1.node.mustCall(CONFIG, toCall('ADD', a, 'h1'))
    await n2.node.mustCall(CONFIG, toCall('ADD', b, 'h2'))
    made.defer(async () => {
      await n1.node.mustCall(CONFIG, toCall('DEL', a, 'h1'))
      await n2.node.mustCall(CONFIG, toCall('DEL', b, 'h2'))
    })
    await expectSoon('joined', async () => (await hasCarrier(a)) && (await hasCarrier(b)))
  }
  const tell = async (): Promise<void> => {
    const { exitCode, stderr } = await runCommand('l2wire-node', [
      'install',
      `--plugins=${join(folder, 'plugins')}`,
      `--network-manager=${join(folder, 'conf.d')}`,
      `--networkd=${join(folder, 'network')}`,
    ])
    expect(exitCode, stderr).to.equal(0)
  }
  const HOST_END = toHostEndName('h1', 'eth1')

  for (const { name, start, takes } of [
    {
      name: 'NetworkManager',
      start: async () => startNetworkManager(n1.netns, folder),
      // A tunnel is no Ethernet to it, and no connection is for it.
      takes: [HOST_END],
    },
    {
      name: 'systemd-networkd',
      start: async () => startNetworkd(n1.netns, join(folder, 'network')),
      takes: [HOST_END, TUNNEL],
    },
  ]) {
    it(`${name} takes cables for networks and speaks on them when nobody told it`, async () => {
      await plug()
      await using heard = await startListening(a.path, 'eth1')
      await using daemon = await start()
      for (const device of takes)
        await expectSoon(`${device} is taken`, async () =>
          /^(connecting|configuring)/.test((await daemon.readState(device)) ?? ''),
        )
      await expectSoon('it speaks', async () => (await heard.read()).length > 0)
    })

    it(`${name}, told, leaves cables alone: those that it finds and those that come`, async () => {
      await tell()
      await plug()
      await using heard = await toStation(a, 'a').startCapture()
      await using heardThere = await toStation(b, 'b').startCapture()
      await using daemon = await start()
      const isLeft = async (device: string): Promise<boolean> =>
        (await daemon.readState(device)) === 'unmanaged'
      for (const device of [HOST_END, TUNNEL])
        await expectSoon(`${device} is left alone`, async () => isLeft(device))
      // A wire of a node that the daemon runs on already.
      await using late = await newLabNetns('late', { ipv6: false })
      await n1.node.mustCall({ ...CONFIG, name: 'late' }, toCall('ADD', late, 'h3'))
      await expectSoon('the late one is left alone', async () =>
        isLeft(toHostEndName('h3', 'eth1')),
      )
      await sleep(SILENCE_MS)
      expect(await heard.stop(), daemon.readLog()).to.deep.equal([])
      expect(await heardThere.stop()).to.deep.equal([])
      const addresses = await n1.netns.run(['ip', '-o', 'address', 'show'])
      expect(addresses).to.not.match(/ l[wx][0-9a-f]{13} /)
      await expectTransparent(toStation(a, 'a'), toStation(b, 'b'))
      await n1.node.mustCall({ ...CONFIG, name: 'late' }, toCall('DEL', late, 'h3'))
    })
  }

  for (const { isTold, origin } of [
    // NET_ADDR_SET and NET_ADDR_RANDOM of linux/netdevice.h.
    { isTold: false, origin: 3 },
    { isTold: true, origin: 1 },
  ])
    it(`udev ${isTold ? 'leaves our devices the MACs they have, once told' : 'gives our devices MACs of its own when nobody told it'}`, async () => {
      if (isTold) await tell()
      made.use(await startUdev(n1.netns, join(folder, 'network')))
      await plug()
      for (const device of [HOST_END, TUNNEL]) {
        const file = `/sys/class/net/${device}/addr_assign_type`
        const read = async (): Promise<number> =>
          Number(await run(['ip', 'netns', 'exec', n1.netns.name, 'cat', file]))
        if (isTold) await sleep(SILENCE_MS)
        await expectSoon(`origin of ${device}`, async () => (await read()) === origin)
      }
    })
})
