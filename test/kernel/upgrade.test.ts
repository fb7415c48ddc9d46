// A rolling upgrade while frames cross a wire: node after node gets the new plugins and a new agent, and
// nothing is lost, nothing comes twice, nothing overtakes.
import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { decodePcap, encodePcap } from '../../core/tester/pcap.ts'
import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/station.ts'
import { newLabCluster, type ClusterNode } from '../../lab/cluster.ts'
import { callPlugin, type CniCall } from '../../lab/cni.ts'
import { runCommand } from '../../lab/command.ts'
import { startDaemon } from '../../lab/daemon.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'

const CONFIG = { cniVersion: '1.1.0', type: 'l2wire' }
const BATCH = 1_000
const PATIENCE_MS = 10_000

function toCall(command: string, netns: LabNetns): CniCall {
  return { command, containerID: netns.name, netns: netns.path, ifname: 'eth1' }
}

function toStation(netns: LabNetns): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname: 'eth1' })
}

/** Sends numbered frames until it is told to stop; returns what it sent. */
function startStream(station: Station): () => Promise<readonly string[]> {
  const frames = newCountedFrames(60_000)
  const enough = new AbortController()
  const stream = (async (): Promise<number> => {
    let sent = 0
    for (; !enough.signal.aborted && sent < frames.length; sent += BATCH)
      await station.send(frames.slice(sent, sent + BATCH))
    return sent
  })()
  return async () => {
    enough.abort()
    return frames.slice(0, await stream).map(toText)
  }
}

/** Its ring has room for seconds of short frames: an upgrade keeps the processors busy. */
async function startListening(netns: LabNetns, file: string) {
  const inside = ['nsenter', `--net=${netns.path}`, 'tcpdump', '-i', 'eth1', '-Q', 'in']
  const daemon = startDaemon([...inside, '-U', '-s', '96', '-B', '8192', '-Z', 'root', '-w', file])
  await expectSoon('listening', () => daemon.readLog().includes('listening on'))
  return {
    /** What it sees may come late, and ends with it: it goes when it has this many, or must have. */
    stop: async (count: number): Promise<readonly string[]> => {
      const deadline = Date.now() + PATIENCE_MS
      while ((await stat(file)).size < toPcapBytes(count) && Date.now() < deadline) await sleep(50)
      await daemon.end('SIGINT')
      // What was lost here must not be taken for the cable's fault.
      expect(daemon.readLog()).to.include('\n0 packets dropped by kernel')
      return decodePcap(await readFile(file)).map(toText)
    },
    [Symbol.asyncDispose]: async () => daemon.end('SIGKILL'),
  }
}

/** A file of so many of our frames. */
function toPcapBytes(count: number): number {
  return encodePcap(newCountedFrames(count)).length
}

function toText(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex')
}

describe('a rolling upgrade', function () {
  this.timeout(90_000)
  let made: AsyncDisposableStack
  /** The plugins' folder of a node. */
  let plugins = ''

  beforeEach(async () => {
    made = new AsyncDisposableStack()
    plugins = await mkdtemp(join(tmpdir(), 'l2w-plugins-'))
    made.defer(async () => rm(plugins, { recursive: true }))
  })
  afterEach(async () => made.disposeAsync())

  const install = async (): Promise<string> => {
    const ended = await runCommand('l2wire-node', ['install', `--plugins=${plugins}`])
    expect(ended.exitCode, ended.stderr).to.equal(0)
    return ended.stdout
  }
  const delByInstalled = async (
    { node }: ClusterNode,
    pod: LabNetns,
    name: string,
  ): Promise<void> => {
    const config = JSON.stringify({ ...CONFIG, name, socket: node.socket })
    const answer = await callPlugin(join(plugins, 'l2wire'), toCall('DEL', pod), config)
    expect(answer.exitCode, answer.stdout).to.equal(0)
  }

  it('of plugins and agents loses no frame of a wire that crosses nodes, or stays on one', async () => {
    const cluster = made.use(await newLabCluster())
    const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    await install()
    // An older version: the same program with a byte behind it.
    await appendFile(join(plugins, 'l2wire'), Buffer.of(0))
    const ends: [ClusterNode, LabNetns, string][] = []
    for (const [on, wire] of [
      [n1, 'far'],
      [n2, 'far'],
      [n1, 'near'],
      [n1, 'near'],
    ] as const) {
      const pod = made.use(await newLabNetns(wire))
      await on.node.mustCall({ ...CONFIG, name: wire }, toCall('ADD', pod))
      ends.push([on, pod, wire])
    }
    const listLinks = async (): Promise<readonly string[]> =>
      Promise.all(ends.map(async ([, pod]) => pod.run(['ip', '-o', 'link', 'show', 'dev', 'eth1'])))
    await expectSoon('joined', async () =>
      (await listLinks()).every((link) => link.includes('LOWER_UP')),
    )
    const before = await listLinks()
    const streams = [ends.slice(0, 2), ends.slice(2)].map(async (pair) => {
      const [from, to] = pair.map(([, pod]) => pod) as [LabNetns, LabNetns]
      const capture = made.use(await startListening(to, join(plugins, `${to.name}.pcap`)))
      return { capture, stop: startStream(toStation(from)) }
    })
    const running = await Promise.all(streams)
    for (const { node } of cluster.nodes) {
      expect(await install()).to.match(/installed l2wire|up to date/)
      await node.stopAgent('SIGTERM')
      await node.startAgent()
    }
    expect(await readFile(join(plugins, 'l2wire'))).to.deep.equal(
      await readFile(join(ROOT, 'dist/bin/l2wire')),
    )
    for (const { capture, stop } of running) {
      const sent = await stop()
      const heard = await capture.stop(sent.length)
      expect(sent.length, 'the stream went on all the time').to.be.greaterThan(BATCH)
      expect(heard.length).to.equal(sent.length)
      expect(heard.findIndex((frame, at) => frame !== sent[at])).to.equal(-1)
    }
    expect(await listLinks()).to.deep.equal(before)
    // What an agent before plugged, the one behind unplugs, by the new plugin.
    for (const [on, pod, wire] of ends) await delByInstalled(on, pod, wire)
    await expectSoon('nothing left', async () => (await cluster.listStore()).length === 0)
  })
})
