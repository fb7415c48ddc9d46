// What plugging costs beyond the data path: from a second ADD on another node to the first frame through,
// with either store; requests to a real API server per end; what an agent hears of other nodes' wires.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { encodePcap } from '../core/tester/pcap.ts'
import { claimEnd, releaseEnd } from '../core/wire/ends.ts'
import { newLabApiServer, type LabApiServer } from '../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../lab/cluster.ts'
import type { CniCall } from '../lab/cni.ts'
import { newCountedFrames } from '../lab/counted-frames.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { countApiRequests, countWatchEvents, sumCounts } from './api-metrics.ts'
import { NIC } from './path.ts'
import { getQuantile, toFigureRow, toRatioRow, type Row } from './row.ts'

const ROUNDS = 50
const FOREIGN_WIRES = 1000
const FRAMES_PER_SECOND = '5000'
const CONFIG = { cniVersion: '1.1.0', name: 'bench', type: 'l2wire' }

export async function benchPlugging(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const api = made.use(await newLabApiServer())
  await api.installCrds()
  const byFile = made.use(await newLabCluster({ prefix: 'file-' }))
  const byApi = made.use(await newLabCluster({ prefix: 'api-', api }))
  const file = await measureFirstFrames(byFile)
  const kubernetes = await measureFirstFrames(byApi)
  const requests = await countRequests(api, byApi)
  const heard = await countForeignEvents(api)
  return [
    toFigureRow('second ADD to first frame, p50 / p99, file store', `${renderSpread(file)} ms`),
    toFigureRow('the same, Kubernetes store', `${renderSpread(kubernetes)} ms`),
    toFigureRow(
      'Kubernetes store to file store, p50',
      (getQuantile(kubernetes, 0.5) / getQuantile(file, 0.5)).toFixed(2),
    ),
    ...requests,
    toRatioRow(`watch events of ${FOREIGN_WIRES} wires plugged and unplugged elsewhere`, heard, {
      atMost: 0,
    }),
  ]
}

function renderSpread(values: readonly number[]): string {
  return [0.5, 0.99].map((share) => getQuantile(values, share).toFixed(0)).join(' / ')
}

function toCall(command: string, netns: LabNetns): CniCall {
  return { command, containerID: netns.name, netns: netns.path, ifname: NIC }
}

/** Milliseconds from the start of the second ADD until its pod has a frame of the first. */
async function measureFirstFrames(cluster: LabCluster): Promise<readonly number[]> {
  const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
  const folder = await mkdtemp(join(tmpdir(), 'l2w-bench-'))
  try {
    const file = join(folder, 'frames.pcap')
    await writeFile(file, encodePcap(newCountedFrames(1000)))
    const times: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) times.push(await measureFirst(n1, n2, file))
    return times
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measureFirst(n1: ClusterNode, n2: ClusterNode, file: string): Promise<number> {
  await using a = await newLabNetns('first-a', { ipv6: false })
  await using b = await newLabNetns('first-b', { ipv6: false })
  await n1.node.mustCall(CONFIG, toCall('ADD', a))
  // Without carrier its frames are lost, and that is what is measured.
  const stream = ['tcpreplay', '--quiet', '--loop', '0', '--pps', FRAMES_PER_SECOND, '-i', NIC]
  const sender = spawn('nsenter', [`--net=${a.path}`, ...stream, file], { stdio: 'ignore' })
  const listen = ['tcpdump', '-i', 'any', '-n', '-tt', '-c', '1', '--immediate-mode', 'inbound']
  const receiver = spawn('nsenter', [`--net=${b.path}`, ...listen], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  try {
    let line = ''
    receiver.stdout.setEncoding('utf8').on('data', (text: string) => (line += text))
    await once(receiver.stderr, 'data')
    const ended = once(receiver, 'exit')
    const started = Date.now() / 1000
    await n2.node.mustCall(CONFIG, toCall('ADD', b))
    await ended
    return (Number(line.split(' ')[0]) - started) * 1000
  } finally {
    for (const child of [sender, receiver]) child.kill('SIGKILL')
    await n1.node.mustCall(CONFIG, toCall('DEL', a))
    await n2.node.mustCall(CONFIG, toCall('DEL', b))
  }
}

/** Requests per end, by what they are about, for ends of two nodes plugged and unplugged. */
async function countRequests(api: LabApiServer, cluster: LabCluster): Promise<readonly Row[]> {
  const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
  await using a = await newLabNetns('count-a', { ipv6: false })
  await using b = await newLabNetns('count-b', { ipv6: false })
  const count = async (command: string): Promise<readonly Row[]> => {
    const heardBefore = await countWatchEvents(api)
    const before = sumCounts(await countApiRequests(api))
    for (const [{ node }, netns] of [
      [n1, a],
      [n2, b],
    ] as const)
      await node.mustCall(CONFIG, {
        ...toCall(command, netns),
        args: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${netns === a ? 'h1' : 'h2'}`,
      })
    // Reports follow a moment later.
    await sleep(1000)
    const requests = sumCounts(await countApiRequests(api)) - before
    const heard = (await countWatchEvents(api)) - heardBefore
    return [
      toFigureRow(`API requests per end across nodes, ${command}`, (requests / 2).toFixed(1)),
      toFigureRow(`watch events per end across nodes, ${command}`, (heard / 2).toFixed(1)),
    ]
  }
  return [...(await count('ADD')), ...(await count('DEL'))]
}

async function countForeignEvents(api: LabApiServer): Promise<number> {
  const { openNodeCluster } = await import('../store/kubernetes/open-cluster.ts')
  const { store } = openNodeCluster({ kubeconfig: api.kubeconfig }, 'elsewhere')
  const before = await countWatchEvents(api)
  const plug = async (at: number): Promise<void> => {
    const id = { namespace: 'default', name: `foreign-${at}` }
    const claim = {
      holder: 'pod/p',
      ifname: NIC,
      containerID: `c${at}`,
      node: 'elsewhere',
      address: '192.0.2.99',
      mtuBytes: 1500,
      pod: undefined,
      isUp: true,
    }
    await store.update(id, (wire) => claimEnd(wire, id, claim))
    await store.update(id, (wire) => releaseEnd(wire, claim))
  }
  for (let at = 0; at < FOREIGN_WIRES; at += 20)
    await Promise.all(Array.from({ length: 20 }, async (_, more) => plug(at + more)))
  await sleep(1000)
  return (await countWatchEvents(api)) - before
}
