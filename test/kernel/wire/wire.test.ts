// Wires between namespaces of this kernel: real plugin, real agent, real frames.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CNI_VERSIONS } from '../../../core/cni/version.ts'
import { renderCauses } from '../../../core/errors.ts'
import { FRAME_ROWS } from '../../../core/tester/frames.ts'
import { decodePcap } from '../../../core/tester/pcap.ts'
import { toFrames } from '../../../core/tester/verdict.ts'
import type { CniCall } from '../../../lab/cni.ts'
import {
  getMapping,
  getNadConfig,
  getNetworkSelections,
  readManifest,
  type Manifest,
} from '../../../lab/manifests.ts'
import { toHostEndName } from '../../../core/name.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { listTraces } from '../../../lab/traces.ts'
import { testCable } from '../../../kernel/tester/cable-test.ts'
import { HEARD_BYTES_MAX, newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { expectSoon } from '../../expect-soon.ts'
import { expectTransparent } from '../../expect-transparent.ts'
import { startListening } from '../../listening.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { hasCarrier } from '../fixture-links.ts'

const EXAMPLE = 'examples/vm-and-container'

function toStation(netns: LabNetns, ifname: string): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname })
}

function toPodArgs(namespace: string): string {
  return `IgnoreUnknown=true;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=h1`
}

async function readLink(netns: LabNetns, ifname: string): Promise<Manifest> {
  const [link] = JSON.parse(
    await netns.run(['ip', '-j', 'link', 'show', 'dev', ifname]),
  ) as Manifest[]
  return link ?? {}
}

describe('a wire on one node', function () {
  this.timeout(180_000)
  let node: LabNode
  let a: LabNetns
  let b: LabNetns
  let config: Manifest

  leavesNothing(async (made) => {
    const nad = await readManifest(`${EXAMPLE}/wire.yaml`)
    // Containers need the room for the longest rows; the wire itself has it anyway.
    config = { ...getNadConfig(nad), mtu: 9216 }
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a', { ipv6: false }))
    b = made.use(await newLabNetns('b', { ipv6: false }))
  })

  const add = async (netns: LabNetns, id: string, more: Partial<CniCall> = {}): Promise<Manifest> =>
    node.mustCall(config, {
      command: 'ADD',
      containerID: id,
      netns: netns.path,
      ifname: 'eth1',
      ...more,
    })
  const del = async (netns: LabNetns, id: string): Promise<Manifest> =>
    node.mustCall(config, { command: 'DEL', containerID: id, netns: netns.path, ifname: 'eth1' })

  it('carries every frame class both ways, and a capture changes no row', async () => {
    await add(a, 'c1')
    await add(b, 'c2')
    await expectTransparent(toStation(a, 'eth1'), toStation(b, 'eth1'))
    const file = join(node.folder, 'capture.pcap')
    const argv = ['capture', String(config['name']), '--store', node.storeUrl, '-w', file]
    const capture = spawn('dist/bin/kubectl-l2wire', argv, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    capture.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    while (!said.includes('listening on')) await once(capture.stderr, 'data')
    await expectTransparent(toStation(a, 'eth1'), toStation(b, 'eth1'))
    capture.kill('SIGINT')
    await once(capture, 'close')
    const ends = { sender: '02:00:00:00:00:01', receiver: '02:00:00:00:00:02' }
    expect(decodePcap(await readFile(file)), 'both directions').to.have.length(
      2 * toFrames(FRAME_ROWS, ends).length,
    )
    await expectTransparent(toStation(b, 'eth1'), toStation(a, 'eth1'))
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('tests its own cable from the command line', async () => {
    await add(a, 'c1')
    await add(b, 'c2')
    const text = await run([
      'dist/bin/kubectl-l2wire',
      'test',
      '--netns',
      `${a.name}:eth1`,
      '--netns',
      `${b.path}:eth1`,
      '--idle',
      '0.2',
      '-o',
      'json',
    ])
    const columns = JSON.parse(text) as { verdicts: { outcome: string }[] }[]
    expect(columns).to.have.length(2)
    for (const { verdicts } of columns) {
      expect(verdicts.length).to.be.greaterThan(FRAME_ROWS.length)
      expect(verdicts.every(({ outcome }) => outcome === 'delivered')).to.equal(true)
    }
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('tells a noisy end from a bad cable', async () => {
    await using noisy = await newLabNetns('noisy')
    await add(a, 'c1')
    await add(noisy, 'c2')
    const columns = await testCable(
      { a: toStation(noisy, 'eth1'), b: toStation(a, 'eth1') },
      FRAME_ROWS,
    )
    const [there, back] = columns.map(({ verdicts }) =>
      verdicts.filter((row) => row.outcome !== 'delivered'),
    )
    expect(there?.map(({ outcome }) => outcome)).to.deep.equal(['extra'])
    expect(there?.[0]?.fault).to.include('switch IPv6 off')
    expect(back).to.deep.equal([])
    await del(a, 'c1')
    await del(noisy, 'c2')
  })

  it('gives up listening to an end that somebody floods', async () => {
    await add(a, 'c1')
    await add(b, 'c2')
    const long = new Uint8Array(9014).fill(0x02)
    const flood = Array<Uint8Array>(Math.ceil((HEARD_BYTES_MAX / long.length) * 1.2)).fill(long)
    // One whose capture lost frames itself says that first.
    await expectSoon('it says so', async () => {
      await using heard = await toStation(b, 'eth1').startCapture()
      await toStation(a, 'eth1').send(flood)
      return heard.stop().then(
        () => false,
        (error: unknown) => renderCauses(error).includes('somebody floods this end'),
      )
    })
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('has no carrier alone, has it when joined, loses it when the far end goes', async () => {
    const states: boolean[] = []
    await add(b, 'c2')
    states.push(await hasCarrier(b))
    await add(a, 'c1')
    states.push(await hasCarrier(b), await hasCarrier(a))
    await del(a, 'c1')
    states.push(await hasCarrier(b))
    const ifindex = (await readLink(b, 'eth1'))['ifindex']
    await add(a, 'c3')
    states.push(await hasCarrier(b))
    expect(states).to.deep.equal([false, true, true, false, true])
    expect((await readLink(b, 'eth1'))['ifindex'], 'the surviving end is never replaced').to.equal(
      ifindex,
    )
    await del(a, 'c3')
    await del(b, 'c2')
  })

  for (const cniVersion of CNI_VERSIONS)
    it(`answers as CNI ${cniVersion} says`, async () => {
      const versioned = { ...config, cniVersion, mtu: 1400 }
      const call = { containerID: 'c1', netns: a.path, ifname: 'eth1' }
      const result = await node.mustCall(versioned, { command: 'ADD', ...call })
      const link = await readLink(a, 'eth1')
      expect(link).to.include({ mtu: 1400 })
      expect(result).to.deep.equal({
        cniVersion,
        interfaces: [
          {
            name: toHostEndName('c1', 'eth1'),
            ...(cniVersion === '1.1.0' ? { mtu: 9216 } : {}),
          },
          {
            name: 'eth1',
            mac: link['address'],
            ...(cniVersion === '1.1.0' ? { mtu: 1400 } : {}),
            sandbox: a.path,
          },
        ],
      })
      const check = await node.call(
        { ...versioned, prevResult: result },
        { command: 'CHECK', ...call },
      )
      expect(check).to.include({ exitCode: cniVersion === '0.3.1' ? 1 : 0 })
      expect(check.output?.['code']).to.equal(cniVersion === '0.3.1' ? 1 : undefined)
      const status = await node.call(versioned, { command: 'STATUS' })
      expect(status.exitCode).to.equal(cniVersion === '1.1.0' ? 0 : 1)
      expect(await node.mustCall(versioned, { command: 'DEL', ...call })).to.deep.equal({})
      expect(await node.mustCall(versioned, { command: 'DEL', ...call })).to.deep.equal({})
    })

  it('keeps the labs of two namespaces apart, and a requested MAC', async () => {
    const selections = getNetworkSelections(await readManifest(`${EXAMPLE}/pod.yaml`))
    const mac = selections[0]?.mac ?? ''
    await node.mustCall(
      { ...config, runtimeConfig: { mac } },
      {
        command: 'ADD',
        containerID: 'c1',
        netns: a.path,
        ifname: 'eth1',
        args: toPodArgs('lab-1'),
      },
    )
    await add(b, 'c2', { args: toPodArgs('lab-2') })
    expect((await readLink(a, 'eth1'))['address']).to.equal(mac)
    for (const netns of [a, b]) expect(await hasCarrier(netns)).to.equal(false)
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('lets the newest sandbox of a pod take its end over; the late DEL of the old one changes nothing', async () => {
    const args = { args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h1' }
    await using newer = await newLabNetns('newer', { ipv6: false })
    await add(a, 'c1', args)
    await add(b, 'c2', { args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h2' })
    await add(newer, 'c3', args)
    expect(await hasCarrier(a)).to.equal(false)
    await del(a, 'c1')
    await expectTransparent(toStation(newer, 'eth1'), toStation(b, 'eth1'))
    await del(newer, 'c3')
    await del(b, 'c2')
  })

  it('joins two NICs of one container: a loop cable', async () => {
    await add(a, 'c1')
    await add(a, 'c1', { ifname: 'eth2' })
    await expectTransparent(toStation(a, 'eth1'), toStation(a, 'eth2'))
    await del(a, 'c1')
    await node.mustCall(config, {
      command: 'DEL',
      containerID: 'c1',
      netns: a.path,
      ifname: 'eth2',
    })
  })

  it('frames keep flowing while the agent is killed and started again', async () => {
    await add(a, 'c1')
    await add(b, 'c2')
    await using capture = await startListening(b.path, 'eth1')
    const frames = newCountedFrames(3000)
    const sending = toStation(a, 'eth1').send(frames)
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    await sending
    expect((await capture.stopAfter(frames.length)).length).to.equal(frames.length)
    expect(
      (
        await node.call(
          { ...config, prevResult: {} },
          { command: 'CHECK', containerID: 'c1', netns: a.path, ifname: 'eth1' },
        )
      ).exitCode,
    ).to.equal(0)
    await del(a, 'c1')
    await del(b, 'c2')
  })

  it('plugs fifty ends in at once', async () => {
    const ends = Array.from({ length: 50 }, (_, at) => ({ id: `p${at}`, wire: `w${at >> 1}` }))
    const calls = ends.map(({ id, wire }, index) => ({
      config: { ...config, wire },
      call: { containerID: id, netns: (index % 2 === 0 ? a : b).path, ifname: `e${index >> 1}` },
    }))
    await Promise.all(
      calls.map(async (one) => node.mustCall(one.config, { command: 'ADD', ...one.call })),
    )
    for (const netns of [a, b]) {
      const lines = (await netns.run(['ip', '-br', 'link', 'show'])).split('\n')
      expect(lines.filter((line) => /^e.*\bLOWER_UP\b/.test(line))).to.have.length(25)
    }
    await Promise.all(
      calls.map(async (one) => node.mustCall(one.config, { command: 'DEL', ...one.call })),
    )
    // Where fifty at once take an agent too long, a DEL leaves it a note and is done.
    await expectSoon(
      'no links',
      async () => !(await listTraces()).some((line) => line.startsWith('link')),
    )
  })

  it('writes the wire down in words on its host end', async () => {
    await add(a, 'c1', { args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h1' })
    const [line = ''] = (await listTraces()).filter((trace) => trace.startsWith('link'))
    const device = /link (lw[0-9a-f]+)/.exec(line)?.[1] ?? ''
    const alias = await readFile(`/sys/class/net/${device}/ifalias`, 'utf8')
    expect(alias).to.equal(`l2wire lab/${String(config['name'])} pod/h1 eth1\n`)
    expect(getMapping(await readManifest(`${EXAMPLE}/wire.yaml`), 'metadata')['name']).to.equal(
      config['name'],
    )
    await del(a, 'c1')
  })
})
