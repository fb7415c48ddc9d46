// The second part of the demo's second scene: agents are killed in the middle of a stream, the cable is pulled
// and plugged, devices are deleted by hand. At the end doctor must find nothing wrong.
import { setTimeout as sleep } from 'node:timers/promises'

import { CommandError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import type { ClusterNode } from './cluster.ts'
import { newCountedFrames } from './counted-frames.ts'
import type { Cable, CrossScene, Say } from './demo-scene.ts'
import { ROOT } from './manifests.ts'
import type { LabNetns } from './netns.ts'

const CLI = `${ROOT}/dist/bin/kubectl-l2wire`
/** Four seconds of frames, longer than two agents need to start again. */
const FRAMES = 8_000
const PATIENCE_MS = 15_000

/** Whether everything worked. */
export async function showHealing(scene: CrossScene, say: Say): Promise<boolean> {
  const [cable] = scene.cables
  if (cable === undefined) throw new Error('No cable in the scene')
  const shown = [
    await showKilledAgents(cable, scene.nodes, say),
    await showPulledCable(cable, scene, say),
    await showDeletedDevice(cable, scene, say),
    await showDoctor(scene.nodes, say),
  ]
  return shown.every(Boolean)
}

async function showKilledAgents(
  { a, b, name }: Cable,
  nodes: readonly ClusterNode[],
  say: Say,
): Promise<boolean> {
  await using capture = await b.startCapture()
  const frames = newCountedFrames(FRAMES)
  const sending = a.send(frames)
  for (const { node, address } of nodes) {
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    say(`The agent of node ${address} is killed (-9) and started again while frames flow.`)
  }
  await sending
  await sleep(300)
  const arrived = await capture.stop()
  const isWhole = isSame(arrived, frames)
  say(
    `${arrived.length} of ${FRAMES} numbered frames arrived over ${name}${isWhole ? ', each once and in order' : ': NOT AS SENT'}.`,
  )
  return isWhole
}

function isSame(arrived: readonly Uint8Array[], sent: readonly Uint8Array[]): boolean {
  return (
    arrived.length === sent.length &&
    arrived.every((frame, at) => Buffer.compare(frame, sent[at] ?? Buffer.alloc(0)) === 0)
  )
}

async function showPulledCable(cable: Cable, scene: CrossScene, say: Say): Promise<boolean> {
  const { storeUrl } = getFirst(scene.nodes).node
  const turn = async (verb: 'unplug' | 'plug'): Promise<boolean> => {
    const said = await run([CLI, verb, cable.name, '--store', storeUrl])
    const hasCarrier = verb === 'plug'
    const isSo = await waitFor(async () => {
      const states = await Promise.all(scene.containers.map(readCarrier))
      return states.every((state) => state === hasCarrier)
    })
    say(`kubectl l2wire ${verb} ${cable.name}: ${said.trim()}`)
    say(
      `  ip link says ${hasCarrier ? 'LOWER_UP' : 'NO-CARRIER'} at both ends${isSo ? '' : ': NOT SO'}.`,
    )
    return isSo
  }
  const isOut = await turn('unplug')
  const isIn = await turn('plug')
  const isPassing = await waitFor(async () => passes(cable))
  say(isPassing ? '  Frames pass again.' : '  FRAMES DO NOT PASS AGAIN.')
  return isOut && isIn && isPassing
}

async function showDeletedDevice(cable: Cable, scene: CrossScene, say: Say): Promise<boolean> {
  const { netns } = getFirst(scene.nodes)
  const links = await netns.run(['ip', '-br', 'link', 'show', 'type', 'vxlan'])
  const tunnels = links.split('\n').flatMap((line) => /^lx\S+/.exec(line)?.[0] ?? [])
  for (const dev of tunnels) await netns.run(['ip', 'link', 'del', 'dev', dev])
  const started = performance.now()
  const isMended = await waitFor(async () => passes(cable))
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  say(
    `Somebody deletes ${tunnels.length} tunnels of node 1 by hand: ${isMended ? `mended, frames pass ${seconds} s later` : 'NOT MENDED'}.`,
  )
  return isMended && tunnels.length > 0
}

async function showDoctor(nodes: readonly ClusterNode[], say: Say): Promise<boolean> {
  let isClean = true
  for (const { node, netns } of nodes) {
    const argv = [CLI, 'doctor', '--store', node.storeUrl, '--state-dir', node.stateDir]
    try {
      const said = await run(['ip', 'netns', 'exec', netns.name, ...argv], { timeoutMs: 60_000 })
      say(`kubectl l2wire doctor: ${said.trim()}`)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      isClean = false
      say(`kubectl l2wire doctor: ${error.message}`)
    }
  }
  return isClean
}

async function passes({ a, b }: Cable): Promise<boolean> {
  await using capture = await b.startCapture()
  const frames = newCountedFrames(3)
  await a.send(frames)
  await sleep(100)
  return isSame(await capture.stop(), frames)
}

async function readCarrier(netns: LabNetns): Promise<boolean> {
  return (await netns.run(['ip', '-br', 'link', 'show', 'dev', 'eth1'])).includes('LOWER_UP')
}

async function waitFor(isSo: () => Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await isSo())) {
    if (performance.now() > deadline) return false
    await sleep(100)
  }
  return true
}

function getFirst(nodes: readonly ClusterNode[]): ClusterNode {
  const [first] = nodes
  if (first === undefined) throw new Error('No node in the scene')
  return first
}
