// One TCP stream and 64-byte frames per second: a same-node wire beside a direct veth pair and a
// Linux bridge. Rounds alternate between the paths, so that a busy moment of the machine hits all.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { encodePcap } from '../core/tester/pcap.ts'
import { fillPayload, fromHex, concatBytes } from '../core/tester/bytes.ts'
import { run } from '../kernel/run.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { newLabNode } from '../lab/node.ts'
import { getMedian, toFigureRow, toRatioRow, type Row } from './row.ts'

const ROUNDS = 7
const TCP_SECONDS = 2
const FRAMES = 1_000_000
const NIC = 'eth1'
const ADDRESS = '192.0.2'

interface Path {
  readonly name: 'wire' | 'veth' | 'bridge'
  readonly from: LabNetns
  readonly to: LabNetns
}

export async function benchDatapath(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const paths = [await newWirePath(made), await newVethPath(made), await newBridgePath(made)]
  for (const path of paths) await addAddresses(path)
  // Each end on a core of its own: otherwise the scheduler's choice of cores is what is measured.
  const tcp = await measure(paths, async (path) => measureTcp(path, ['1', '0']))
  const loose = await measure(paths, async (path) => measureTcp(path, undefined))
  const pps = await measure(paths, measureFrames)
  return [
    toRatioRow('TCP, wire to direct veth pair', tcp.wire / tcp.veth, { atLeast: 0.95 }),
    toRatioRow('TCP, wire to Linux bridge', tcp.wire / tcp.bridge, { atLeast: 1 }),
    toFigureRow('TCP, wire', `${(tcp.wire / 1e9).toFixed(1)} Gbit/s`),
    toFigureRow(
      'TCP, wire to direct veth pair, ends on any core',
      (loose.wire / loose.veth).toFixed(2),
    ),
    toFigureRow(
      'TCP, wire to Linux bridge, ends on any core',
      (loose.wire / loose.bridge).toFixed(2),
    ),
    toRatioRow('64-byte frames, wire to direct veth pair', pps.wire / pps.veth, { atLeast: 0.65 }),
    toRatioRow('64-byte frames, wire to Linux bridge', pps.wire / pps.bridge, { atLeast: 1 }),
    toFigureRow('64-byte frames, wire', `${(pps.wire / 1e3).toFixed(0)} thousand/s`),
  ]
}

type Figures = Record<Path['name'], number>

async function measure(
  paths: readonly Path[],
  once_: (path: Path) => Promise<number>,
): Promise<Figures> {
  const figures: Record<Path['name'], number[]> = { wire: [], veth: [], bridge: [] }
  for (let round = 0; round < ROUNDS; round += 1)
    for (const path of paths) figures[path.name].push(await once_(path))
  return {
    wire: getMedian(figures.wire),
    veth: getMedian(figures.veth),
    bridge: getMedian(figures.bridge),
  }
}

async function newWirePath(made: AsyncDisposableStack): Promise<Path> {
  const node = made.use(await newLabNode())
  const from = made.use(await newLabNetns('wire-a'))
  const to = made.use(await newLabNetns('wire-b'))
  for (const netns of [from, to])
    await node.mustCall(
      { cniVersion: '1.1.0', name: 'bench', type: 'l2wire' },
      { command: 'ADD', containerID: netns.name, netns: netns.path, ifname: NIC },
    )
  return { name: 'wire', from, to }
}

async function newVethPath(made: AsyncDisposableStack): Promise<Path> {
  const from = made.use(await newLabNetns('veth-a'))
  const to = made.use(await newLabNetns('veth-b'))
  await from.run([
    'ip',
    'link',
    'add',
    'name',
    NIC,
    'type',
    'veth',
    'peer',
    'name',
    NIC,
    'netns',
    to.path,
  ])
  return { name: 'veth', from, to }
}

async function newBridgePath(made: AsyncDisposableStack): Promise<Path> {
  const from = made.use(await newLabNetns('bridge-a'))
  const to = made.use(await newLabNetns('bridge-b'))
  const middle = made.use(await newLabNetns('bridge'))
  await middle.run(['ip', 'link', 'add', 'name', 'l2wbr', 'type', 'bridge'])
  await middle.run(['ip', 'link', 'set', 'dev', 'l2wbr', 'up'])
  for (const [port, netns] of [
    ['l2wp1', from],
    ['l2wp2', to],
  ] as const) {
    await netns.run([
      'ip',
      'link',
      'add',
      'name',
      NIC,
      'type',
      'veth',
      'peer',
      'name',
      port,
      'netns',
      middle.path,
    ])
    await middle.run(['ip', 'link', 'set', 'dev', port, 'master', 'l2wbr', 'up'])
  }
  return { name: 'bridge', from, to }
}

async function addAddresses({ from, to }: Path): Promise<void> {
  for (const [host, netns] of [
    [1, from],
    [2, to],
  ] as const) {
    await netns.run(['ip', 'address', 'add', `${ADDRESS}.${host}/24`, 'dev', NIC])
    await netns.run(['ip', 'link', 'set', 'dev', NIC, 'up'])
  }
}

/** Bits per second of one TCP stream, client and server on these cores. */
async function measureTcp(
  { from, to }: Path,
  cores: readonly [string, string] | undefined,
): Promise<number> {
  const [onClient, onServer] = (cores ?? []).map((core) => ['taskset', '--cpu-list', core])
  const argv = [
    `--net=${to.path}`,
    ...(onServer ?? []),
    'iperf3',
    '--server',
    '--one-off',
    '--forceflush',
  ]
  const server = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'ignore'] })
  const ended = once(server, 'exit')
  await once(server.stdout, 'data')
  const client = [
    ...(onClient ?? []),
    'iperf3',
    '--client',
    `${ADDRESS}.2`,
    '--time',
    String(TCP_SECONDS),
    '--json',
  ]
  const report = JSON.parse(await from.run(client)) as {
    end: { sum_received: { bits_per_second: number } }
  }
  await ended
  return report.end.sum_received.bits_per_second
}

/** 64-byte frames (60 and the FCS) per second that arrive at the other end. */
async function measureFrames({ from, to }: Path): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-bench-'))
  try {
    const [mac] = JSON.parse(await to.run(['ip', '-j', 'link', 'show', 'dev', NIC])) as {
      address: string
    }[]
    const header = fromHex(`${mac?.address ?? ''} 02:00:00:00:00:01 88b5`)
    const frames = Array.from({ length: 1000 }, (_, at) => concatBytes(header, fillPayload(46, at)))
    const file = join(folder, 'frames.pcap')
    await writeFile(file, encodePcap(frames))
    const before = await readReceived(to)
    const started = performance.now()
    const loop = ['--loop', String(FRAMES / frames.length), '--preload-pcap', '--topspeed']
    await run(['nsenter', `--net=${from.path}`, 'tcpreplay', '--quiet', ...loop, '-i', NIC, file], {
      timeoutMs: 60_000,
    })
    const seconds = (performance.now() - started) / 1000
    return ((await readReceived(to)) - before) / seconds
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readReceived(netns: LabNetns): Promise<number> {
  const [link] = JSON.parse(await netns.run(['ip', '-j', '-s', 'link', 'show', 'dev', NIC])) as {
    stats64: { rx: { packets: number } }
  }[]
  return link?.stats64.rx.packets ?? 0
}
