// What many wires cost a node: connecting them, finding them all in order, and doing nothing. Two nodes
// and a wire by wire more between them, in pods of ten NICs; the last step has 500.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { askAgent } from '../kernel/ask-agent.ts'
import { decodeResponse, PROTOCOL } from '../core/cni/protocol.ts'
import { newLabCluster, type ClusterNode } from '../lab/cluster.ts'
import { ROOT } from '../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import type { LabNode } from '../lab/node.ts'
import { renderPlot } from './plot.ts'
import { readAnonymousMb, readCpuSeconds } from './process-tree.ts'
import { getMedian, toFigureRow, toRatioRow, type Row } from './row.ts'

const STEPS = [50, 100, 200, 350, 500]
const NICS = 10
/** As kubelets do it: the NICs of a pod one after the other, of several pods at once. */
const PODS_AT_ONCE = 4
const PATIENCE_MS = 120_000
const RESTARTS = 3
/** Often enough to see a few looks in a row, and far enough apart to tell one from the next. */
const LOOK_SECONDS = 2
const LOOKS = 4
const SAMPLE_MS = 50
const QUIET_MS = 400
const SETTLE_MS = 2_000
const IDLE_MS = 30_000

interface Size {
  readonly wires: number
  /** Seconds, and seconds of both agents' CPU, from no wire at all to all of them connected. */
  readonly connectSeconds: number
  readonly connectCpu: number
  readonly memoryMb: number
  /** Seconds from starting the agent to its having found nothing to do, and what CPU it took until it sleeps. */
  readonly restartSeconds: number
  readonly restartCpu: number
  readonly mended: number
  /** Seconds of CPU of one look at everything. */
  readonly lookCpu: number
}

export async function benchHealing(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster())
  const nodes = cluster.nodes as [ClusterNode, ClusterNode]
  const sizes: Size[] = []
  for (const wires of STEPS) sizes.push(await measureSize(made, nodes, wires, sizes.at(-1)))
  const idle = await measureIdle(nodes[0].node)
  await writePlots(sizes)
  return listRows(sizes, idle)
}

async function measureSize(
  made: AsyncDisposableStack,
  nodes: readonly [ClusterNode, ClusterNode],
  wires: number,
  before: Size | undefined,
): Promise<Size> {
  const from = before?.wires ?? 0
  const pods: (() => Promise<void>)[][] = []
  for (const on of nodes) {
    const ofNode: (() => Promise<void>)[] = []
    for (let first = from; first < wires; first += NICS) {
      const pod = made.use(await newLabNetns(`pod${first}`))
      ofNode.push(async () => plugPod(on, pod, first))
    }
    pods.push(ofNode)
  }
  const [{ node }] = nodes
  const cpuBefore = sumCpu(nodes)
  const started = performance.now()
  await Promise.all(pods.map(async (ofNode) => runSome(ofNode)))
  await waitForCarrier(nodes, wires)
  const seconds = (performance.now() - started) / 1000
  await sleep(SETTLE_MS)
  const cpu = sumCpu(nodes) - cpuBefore
  const memoryMb = readAnonymousMb(node.readPid())
  const restarts: Restart[] = []
  for (let round = 0; round < RESTARTS; round += 1) restarts.push(await restart(node, []))
  const lookCpu = await measureLook(node)
  return {
    wires,
    connectSeconds: (before?.connectSeconds ?? 0) + seconds,
    connectCpu: (before?.connectCpu ?? 0) + cpu,
    memoryMb,
    restartSeconds: getMedian(restarts.map((one) => one.seconds)),
    restartCpu: getMedian(restarts.map((one) => one.cpu)),
    mended: Math.max(...restarts.map((one) => one.mended)),
    lookCpu,
  }
}

// Straight to the agent: a thousand shims would take longer to start than the agents take to answer.
async function plugPod({ node }: ClusterNode, pod: LabNetns, first: number): Promise<void> {
  for (let nic = 0; nic < NICS; nic += 1) {
    const name = `wire-${first + nic}`
    const config = { cniVersion: '1.1.0', name, type: 'l2wire' }
    const args = {
      command: 'ADD' as const,
      containerID: pod.name,
      netns: pod.path,
      ifname: `eth${nic}`,
      args: '',
      path: '',
    }
    const line = JSON.stringify({ protocol: PROTOCOL, args, config })
    const answer = decodeResponse(await askAgent(node.socket, line, PATIENCE_MS))
    if (answer.isError) throw new Error(`Cannot plug ${name}: ${JSON.stringify(answer.output)}`)
  }
}

async function runSome(tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const left = [...tasks]
  const work = async (): Promise<void> => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await task()
  }
  await Promise.all(Array.from({ length: PODS_AT_ONCE }, work))
}

/** A host end is up where its pod is to have carrier, and has carrier itself while the pod's end is up. */
async function waitForCarrier(nodes: readonly ClusterNode[], wires: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const counts = await Promise.all(nodes.map(countConnected))
    if (counts.every((count) => count === wires)) return
    if (performance.now() > deadline)
      throw new Error(`Only ${counts.join(' and ')} of ${wires} ends have carrier`)
    await sleep(100)
  }
}

async function countConnected({ netns }: ClusterNode): Promise<number> {
  const links = JSON.parse(await netns.run(['ip', '-j', 'link', 'show', 'type', 'veth'])) as {
    ifname: string
    flags: readonly string[]
  }[]
  return links.filter(({ ifname, flags }) => ifname.startsWith('lw') && flags.includes('LOWER_UP'))
    .length
}

interface Restart {
  readonly seconds: number
  readonly cpu: number
  readonly mended: number
}

async function restart(node: LabNode, more: readonly string[]): Promise<Restart> {
  await node.stopAgent('SIGKILL')
  const from = node.readLog().length
  const startedAt = Date.now()
  await node.startAgent(more)
  // What follows at once belongs to it.
  await sleep(SETTLE_MS / 2)
  const cpu = readCpuSeconds(node.readPid())
  const line = node
    .readLog()
    .slice(from)
    .split('\n')
    .find((one) => one.includes('"msg":"recovered"'))
  if (line === undefined) throw new Error('The agent does not say that it has recovered')
  const { time, mended } = JSON.parse(line) as { time: number; mended: number }
  return { seconds: (time - startedAt) / 1000, cpu, mended }
}

/** CPU of a look, by what the agent takes in the bursts that it has every few seconds. */
export async function measureLook(node: LabNode): Promise<number> {
  await restart(node, ['--check-seconds', String(LOOK_SECONDS)])
  const pid = node.readPid()
  const bursts: number[] = []
  let atRest = readCpuSeconds(pid)
  let last = atRest
  let quietSince = performance.now()
  const deadline = performance.now() + LOOKS * LOOK_SECONDS * 3000
  while (bursts.length < LOOKS && performance.now() < deadline) {
    await sleep(SAMPLE_MS)
    const now = readCpuSeconds(pid)
    if (now > last) quietSince = performance.now()
    last = Math.max(last, now)
    if (last > atRest && performance.now() - quietSince > QUIET_MS) {
      bursts.push(last - atRest)
      atRest = last
    }
  }
  if (bursts.length < LOOKS) throw new Error(`Only ${bursts.length} looks at everything were seen`)
  return getMedian(bursts)
}

/** The share of one core that an agent takes between two looks, which the default has minutes apart. */
export async function measureIdle(node: LabNode): Promise<number> {
  await restart(node, [])
  await sleep(SETTLE_MS)
  const pid = node.readPid()
  const before = readCpuSeconds(pid)
  await sleep(IDLE_MS)
  return (readCpuSeconds(pid) - before) / (IDLE_MS / 1000)
}

function sumCpu(nodes: readonly ClusterNode[]): number {
  return nodes.reduce((sum, { node }) => sum + readCpuSeconds(node.readPid()), 0)
}

function listRows(sizes: readonly Size[], idle: number): readonly Row[] {
  const [small, large] = [sizes.at(0), sizes.at(-1)]
  if (small === undefined || large === undefined) throw new Error('Nothing was measured')
  // 1 is linear: then a wire costs as much among many as among few.
  const compare = (name: string, read: (size: Size) => number): Row =>
    toRatioRow(
      `${name}, per wire of ${large.wires} to per wire of ${small.wires}`,
      read(large) / large.wires / (read(small) / small.wires),
      { atMost: 1.2 },
    )
  const mended = Math.max(...sizes.map((size) => size.mended))
  const list = (name: string, unit: string, digits: number, read: (size: Size) => number): Row => {
    const figures = sizes.map((size) => read(size).toFixed(digits)).join(' / ')
    return toFigureRow(`${name}, ${STEPS.join(' / ')} wires`, `${figures} ${unit}`)
  }
  return [
    list('time to connect', 's', 0, (size) => size.connectSeconds),
    list("both agents' CPU to connect", 's', 0, (size) => size.connectCpu),
    list("agent's memory", 'MB', 0, (size) => size.memoryMb),
    list('restarted agent, time', 's', 2, (size) => size.restartSeconds),
    list('restarted agent, CPU', 's', 2, (size) => size.restartCpu),
    list('one look at everything, CPU', 's', 2, (size) => size.lookCpu),
    compare('time to connect', (size) => size.connectSeconds),
    compare("both agents' CPU to connect", (size) => size.connectCpu),
    compare('time for a restarted agent', (size) => size.restartSeconds),
    compare('CPU for a restarted agent', (size) => size.restartCpu),
    compare('CPU of a look', (size) => size.lookCpu),
    {
      name: `CPU of a look at ${large.wires} wires that changes nothing`,
      measured: `${large.lookCpu.toFixed(2)} s`,
      want: '< 1 s',
      met: large.lookCpu < 1,
    },
    { name: 'wires mended by restarts', measured: `${mended}`, want: '0', met: mended === 0 },
    {
      name: `idle CPU, ${large.wires} wires, ${IDLE_MS / 1000} s`,
      measured: `${(idle * 100).toFixed(1)} %`,
      want: '0.0 %',
      met: idle * 100 < 0.05,
    },
  ]
}

async function writePlots(sizes: readonly Size[]): Promise<void> {
  const read = (name: string, pick: (size: Size) => number): { name: string; points: Point[] } => ({
    name,
    points: sizes.map((size) => [size.wires, pick(size)] as const),
  })
  const xLabel = 'wires between two nodes'
  await writePlot('connect.svg', {
    title: 'Connecting all wires, two nodes on one machine of two cores',
    xLabel,
    yLabel: 'seconds',
    series: [
      read('time', (size) => size.connectSeconds),
      read("both agents' CPU", (size) => size.connectCpu),
    ],
  })
  await writePlot('restart.svg', {
    title: 'Finding that there is nothing to do',
    xLabel,
    yLabel: 'seconds',
    series: [
      read('restarted agent: time', (size) => size.restartSeconds),
      read('restarted agent: CPU', (size) => size.restartCpu),
      read('one look: CPU', (size) => size.lookCpu),
    ],
  })
}

type Point = readonly [x: number, y: number]

async function writePlot(file: string, plot: Parameters<typeof renderPlot>[0]): Promise<void> {
  const path = join(ROOT, 'docs/bench', file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, renderPlot(plot))
}
