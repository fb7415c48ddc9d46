// A rolling upgrade while frames cross a wire: node after node gets the new plugins and a new agent, and
// nothing is lost, nothing comes twice, nothing overtakes.
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import { newLabCluster, type ClusterNode } from '../../../lab/cluster.ts'
import { callPlugin, type CniCall } from '../../../lab/cni.ts'
import { runCommand } from '../../../lab/command.ts'
import { newCountedFrames } from '../../../lab/counted-frames.ts'
import { ROOT } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newTemporaryFolder } from '../../../lab/temporary-folder.ts'
import { expectSoon } from '../../expect-soon.ts'
import { startListening } from '../../listening.ts'
import { eachLeavesNothing } from '../../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', type: 'l2wire' }
const BATCH = 1_000

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

function toText(frame: Uint8Array): string {
  return Buffer.from(frame).toString('hex')
}

describe('a rolling upgrade', function () {
  this.timeout(90_000)
  let made: AsyncDisposableStack
  /** The plugins' folder of a node. */
  let plugins = ''

  eachLeavesNothing(async (stack) => {
    made = stack
    plugins = made.use(await newTemporaryFolder('plugins')).path
  })

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
    const config = JSON.stringify({ ...CONFIG, name })
    const call = { ...toCall('DEL', pod), socket: node.socket }
    const answer = await callPlugin(join(plugins, 'l2wire'), call, config)
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
      const pod = made.use(await newLabNetns(wire, { ipv6: false }))
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
      const capture = made.use(await startListening(to.path, 'eth1'))
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
      const heard = (await capture.stopAfter(sent.length)).map(toText)
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
