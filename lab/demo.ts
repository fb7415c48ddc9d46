// make demo: sends every frame class through wires between real VMs and container-like namespaces, in both
// directions, and prints a table of what arrived. Then it shows healing, a live migration, and a VM straight on a pod
// network. It removes everything that it made.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'

import { renderCauses } from '../core/errors.ts'
import { FRAME_ROWS } from '../core/tester/frames.ts'
import { decodePcap } from '../core/tester/pcap.ts'
import { renderVerdicts, type VerdictColumn } from '../core/tester/table.ts'
import { appendRows, testCable, testIdle } from '../kernel/tester/cable-test.ts'
import { chooseAccelerator } from './accelerator.ts'
import { showHealing } from './demo-healing.ts'
import { showMigration } from './demo-migration.ts'
import { newPodScene, showPodNetwork } from './demo-pod-network.ts'
import { newCrossScene, newScene, type Cable, type Scene } from './demo-scene.ts'
import { ROOT } from './manifests.ts'
import { sweepNetns } from './netns.ts'
import { listTraces } from './traces.ts'
import { say, waitForInterrupt } from './terminal.ts'

const IDLE_SECONDS = 30

const interrupted = waitForInterrupt()
interrupted.catch(() => undefined)

async function demo(): Promise<boolean> {
  await sweepNetns()
  const traces = await listTraces()
  say(
    `Virtual machines run under ${(await chooseAccelerator()) === 'kvm' ? 'KVM' : 'QEMU emulation (KVM does not work here)'}.`,
  )
  let isTransparent: boolean
  {
    await using scene = await newScene(say)
    isTransparent = await Promise.race([showScene(scene), interrupted])
  }
  {
    await using scene = await newCrossScene(say)
    const isSame = await Promise.race([showCables(scene.cables, ', across nodes'), interrupted])
    const isHealed = await Promise.race([showHealing(scene, say), interrupted])
    isTransparent = isSame && isHealed && isTransparent
  }
  const isFollowed = await Promise.race([showMigration(say), interrupted])
  let isReached: boolean
  {
    await using scene = await newPodScene(say)
    isReached = await Promise.race([showPodNetwork(scene, say), interrupted])
  }
  const left = (await listTraces()).filter((line) => !traces.includes(line))
  for (const line of left) say(`Left behind: ${line}`)
  if (left.length === 0)
    say('Everything is taken down: no device, namespace, process or mount is left.')
  return isTransparent && isFollowed && isReached && left.length === 0
}

async function showScene(scene: Scene): Promise<boolean> {
  const isTransparent = await showCables(scene.cables, '')
  return (await showCapture(scene)) && isTransparent
}

/** Whether every row of every cable was delivered. */
async function showCables(cables: readonly Cable[], where: string): Promise<boolean> {
  say(
    `Each of ${FRAME_ROWS.length} frame classes goes through each cable, both ways; then ${IDLE_SECONDS} s of silence.`,
  )
  // Cables are tested one after the other, so that two cores cause no loss. Their silence is tested at once.
  const active = []
  for (const cable of cables) active.push(await testCable(cable, FRAME_ROWS))
  const idle = await testIdle(cables, IDLE_SECONDS)
  const tables = active.map((columns, at) => appendRows(columns, idle[at] ?? []))
  for (const [at, columns] of tables.entries()) showTable(cables[at], columns, where)
  return tables.every(isDelivered)
}

function showTable(
  cable: Cable | undefined,
  columns: readonly VerdictColumn[],
  where: string,
): void {
  console.log(
    `\n${cable?.kind ?? ''}, wire ${cable?.name ?? ''}${where}\n${renderVerdicts(columns)}\n`,
  )
}

/** Runs the table again while kubectl-l2wire capture starts and stops. No row may change. */
async function showCapture(scene: Scene): Promise<boolean> {
  const [cable] = scene.cables
  if (cable === undefined) return false
  const folder = await mkdtemp(join(tmpdir(), 'l2w-demo-'))
  try {
    const file = join(folder, 'capture.pcap')
    const argv = ['capture', cable.name, '--store', scene.node.storeUrl, '-w', file]
    const capture = spawn(join(ROOT, 'dist/bin/kubectl-l2wire'), argv, { stdio: 'ignore' })
    const columns = await testCable(cable, FRAME_ROWS)
    const ended = once(capture, 'exit')
    capture.kill('SIGINT')
    await ended
    const frames = decodePcap(await readFile(file))
    const isSame = isDelivered(columns)
    say(
      `kubectl-l2wire capture saw ${frames.length} frames of wire ${cable.name} and changed ${isSame ? 'no row' : 'ROWS'}.`,
    )
    return isSame && frames.length > 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function isDelivered(columns: readonly VerdictColumn[]): boolean {
  return columns.every(({ verdicts }) => verdicts.every((row) => row.outcome === 'delivered'))
}

try {
  process.exitCode = (await demo()) ? 0 : 1
  say(
    process.exitCode === 0
      ? "Every row delivered, every break mended, the wire with the guest that moved, the VM reached at its pod's address."
      : 'Not all went as it should.',
  )
} catch (error) {
  say(`Stopped: ${renderCauses(error)}`)
  process.exitCode = 1
}
// Work that an interrupted scene still waits for must not keep the process alive.
process.exit()
