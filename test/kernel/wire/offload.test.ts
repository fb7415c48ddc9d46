// What reaches an end whose configuration says "offload": false, wherever it comes from: whole frames.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toHostEndName, toPodLinkName, toTapName } from '../../../core/name.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../../lab/cluster.ts'
import { getNadConfig, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode } from '../../../lab/node.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { run } from '../../../kernel/run.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { findFault } from '../fixture-checksum.ts'
import {
  findDifference,
  KINDS,
  sendUnfinished,
  startReader,
  stream,
  type Reader,
} from '../fixture-unfinished.ts'
import { hasCarrier } from '../fixture-links.ts'

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
const NIC = 'eth1'
/** Ethernet with two tags, and what a frame across nodes may have. */
const LONGEST = 14 + 8 + 1450

const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 1450 }
const off = { args: { cni: { offload: false } } }

async function expectWhole(from: LabNetns, reader: Reader): Promise<void> {
  for (const kind of KINDS) {
    const before = reader.read().length
    await sendUnfinished(from, NIC, [kind])
    let fault: string | undefined
    await expectSoon(`${kind.name} arrives`, () => {
      fault = findDifference(reader.read().slice(before), kind)
      return fault === undefined
    }).catch(() => undefined)
    const frames = reader.read().slice(before)
    expect(fault, `${kind.name}, longest ${Math.max(...frames.map((one) => one.length))}`).to.equal(
      undefined,
    )
    expect(
      frames.flatMap((one) => findFault(one) ?? []),
      kind.name,
    ).to.deep.equal([])
    expect(Math.max(...frames.map((one) => one.length)), kind.name).to.be.at.most(LONGEST)
  }
  expect(reader.readTold()).to.deep.equal([])
}

describe('"offload": false', function () {
  this.timeout(120_000)
  let cluster: LabCluster
  let bind: Manifest

  leavesNothing(async (made) => {
    cluster = made.use(await newLabCluster())
    bind = {
      ...getNadConfig(await readManifest('deploy/base/binding-nad.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })

  const add = async (
    { node }: ClusterNode,
    netns: LabNetns,
    more: Manifest = {},
    ifname = NIC,
    verb: 'ADD' | 'DEL' = 'ADD',
  ): Promise<void> => {
    const call = { containerID: netns.name, netns: netns.path }
    const tap = async (): Promise<unknown> =>
      ifname === NIC ? undefined : node.mustCall(bind, { command: verb, ...call, ifname: 'net1' })
    if (verb === 'DEL') await tap()
    await node.mustCall({ ...WIRE, ...more }, { command: verb, ...call, ifname })
    if (verb === 'ADD') await tap()
  }

  /** Two pods on a wire: the first one's interface, and the other's, which a VM may have taken. */
  const plug = async (
    made: AsyncDisposableStack,
    isAcross: boolean,
    ifname: string,
    [near, far]: readonly [Manifest, Manifest],
  ): Promise<readonly [LabNetns, LabNetns]> => {
    const [a, other] = cluster.nodes as [ClusterNode, ClusterNode]
    const b = isAcross ? other : a
    const from = made.use(await newLabNetns('from', { ipv6: true }))
    const to = made.use(await newLabNetns('to', { ipv6: true }))
    await add(a, from, near)
    made.defer(async () => add(a, from, near, NIC, 'DEL'))
    await add(b, to, far, ifname)
    made.defer(async () => add(b, to, far, ifname, 'DEL'))
    await expectSoon('the cable is in', async () => hasCarrier(from, NIC))
    return [from, to]
  }

  for (const isAcross of [false, true]) {
    const where = isAcross ? 'across nodes' : 'on one node'

    it(`has whole frames arrive in a container, ${where}`, async () => {
      await using made = new AsyncDisposableStack()
      // The end's own word counts.
      const [from, to] = await plug(made, isAcross, NIC, [{}, off])
      await using reader = await startReader(to, NIC)
      await expectWhole(from, reader)
    })

    it(`has whole frames arrive in a VM, ${where}`, async () => {
      await using made = new AsyncDisposableStack()
      // Both share the network's word.
      const all = { offload: false }
      const [from, to] = await plug(made, isAcross, POD_LINK, [all, all])
      await using reader = await startReader(to, TAP, 'read-tap')
      await expectWhole(from, reader)
    })

    it(`has whole frames arrive of what stacks send, ${where}`, async () => {
      await using made = new AsyncDisposableStack()
      const [from, to] = await plug(made, isAcross, NIC, [{}, off])
      const address = async (netns: LabNetns, host: number): Promise<void> => {
        await netns.run(['ip', 'address', 'add', `198.51.100.${host}/24`, 'dev', NIC])
        await netns.run(['ip', 'address', 'add', `fd00::${host}/64`, 'dev', NIC, 'nodad'])
      }
      await address(from, 1)
      await address(to, 2)
      await using reader = await startReader(to, NIC, 'read', () => true)
      for (const at of ['198.51.100.2', 'fd00::2']) await stream(from, to, at, 1300)
      // 300,000 bytes, and 110 segments of datagrams, each twice.
      await expectSoon('all has come', () => reader.read().length > 2 * (300_000 / 1450 + 110))
      const frames = reader.read()
      expect(Math.max(...frames.map(({ length }) => length))).to.be.at.most(14 + 1450)
      expect(frames.flatMap((one) => findFault(one) ?? [])).to.deep.equal([])
    })

    it(`is not the default: frames arrive as their senders' kernels left them, ${where}`, async () => {
      await using made = new AsyncDisposableStack()
      // What the far end asks for is the far end's.
      const [from, to] = await plug(made, isAcross, NIC, [off, {}])
      await using reader = await startReader(to, NIC)
      await sendUnfinished(from, NIC, KINDS.slice(0, 1))
      await expectSoon('it arrives', () => reader.read().length > 0)
      const [frame = new Uint8Array()] = reader.read()
      expect(frame.length).to.be.greaterThan(20_000)
      expect(findFault(frame)).to.not.equal(undefined)
    })
  }

  it('has whole frames arrive of what a VM sends', async () => {
    await using made = new AsyncDisposableStack()
    const [to, from] = await plug(made, false, POD_LINK, [off, {}])
    await using reader = await startReader(to, NIC)
    for (const kind of KINDS) {
      const before = reader.read().length
      await sendUnfinished(from, TAP, [kind], 'send-tap')
      await expectSoon(`${kind.name} arrives whole`, () => {
        const frames = reader.read().slice(before)
        return findDifference(frames, kind) === undefined && frames.every((one) => !findFault(one))
      })
    }
  })

  it('is missed by CHECK where it cannot be set again', async () => {
    await using made = new AsyncDisposableStack()
    const folder = made.use(await newTemporaryFolder('path'))
    const script = '#!/bin/sh\n[ "$1$2" != "-K$(cat "$0.stuck" 2>/dev/null)" ] || exit 0\n'
    const file = join(folder.path, 'ethtool')
    await writeFile(file, `${script}exec /usr/sbin/ethtool "$@"\n`, { mode: 0o755 })
    const node = made.use(await newLabNode({ pathFirst: folder.path }))
    const pod = made.use(await newLabNetns('pod'))
    const call = { containerID: 'c1', netns: pod.path, ifname: NIC }
    await node.mustCall({ ...WIRE, ...off }, { command: 'ADD', ...call })
    made.defer(async () => void (await node.call(WIRE, { command: 'DEL', ...call })))
    const config = { ...WIRE, ...off, prevResult: { cniVersion: '1.1.0', interfaces: [] } }
    expect((await node.call(config, { command: 'CHECK', ...call })).exitCode).to.equal(0)
    const dev = toHostEndName('c1', NIC)
    await writeFile(`${file}.stuck`, dev)
    await run(['ethtool', '-K', dev, 'tx', 'on'])
    const { output } = await node.call(config, { command: 'CHECK', ...call })
    expect(output).to.include({ code: 105 })
    expect(output?.['msg']).to.include('offloads on, expected them off')
  })

  it('is set again at once, after a restart, and where the devices are made anew', async () => {
    await using made = new AsyncDisposableStack()
    const [, to] = await plug(made, false, NIC, [{}, off])
    const [{ node, netns }] = cluster.nodes as [ClusterNode]
    const dev = toHostEndName(to.name, NIC)
    const check = async (): Promise<Manifest | null> => {
      const call = { command: 'CHECK', containerID: to.name, netns: to.path, ifname: NIC } as const
      const prevResult = { cniVersion: '1.1.0', interfaces: [] }
      return (await node.call({ ...WIRE, ...off, prevResult }, call)).output ?? null
    }
    const readOn = async (): Promise<string> =>
      (await netns.run(['ethtool', '-k', dev]).catch(String))
        .split('\n')
        .filter((line) => /^\t?(tx-checksum|tx-udp-seg|tx-tcp|tx-sctp-seg).*: on/.test(line))
        .join()
    const turnOn = ['ethtool', '-K', dev, 'tx', 'on', 'tso', 'on', 'gso', 'on']
    expect(await readOn()).to.equal('')
    await netns.run(turnOn)
    await expectSoon('the kernel tells', async () => (await readOn()) === '')
    expect(await check()).to.equal(null)

    await node.stopAgent('SIGKILL')
    await netns.run(turnOn)
    expect(await readOn()).to.not.equal('')
    await node.startAgent()
    await expectSoon('the next agent looks', async () => (await readOn()) === '')

    await netns.run(['ip', 'link', 'del', 'dev', dev])
    await expectSoon('it is made again', async () => {
      const said = await netns.run(['ethtool', '-k', dev]).catch(() => '')
      return said.includes('tx-checksumming: off')
    })
  })
})
