// A way from one namespace to another, and what goes through it: one TCP stream, 64-byte frames.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { fillPayload, fromHex, concatBytes } from '../core/tester/bytes.ts'
import { encodePcap } from '../core/tester/pcap.ts'
import { run } from '../kernel/run.ts'
import type { LabNetns } from '../lab/netns.ts'
import { getMedian } from './row.ts'

const ROUNDS = 7
const TCP_SECONDS = 2
const FRAMES = 1_000_000
const ADDRESS = '198.51.100'

/** The link at both ends of a path. */
export const NIC = 'eth1'

export interface Path<Name extends string = string> {
  readonly name: Name
  readonly from: LabNetns
  readonly to: LabNetns
}

/** Medians of rounds that alternate between the paths, so that a busy moment of the machine hits all. */
export async function measure<Name extends string>(
  paths: readonly Path<Name>[],
  measureOnce: (path: Path<Name>) => Promise<number>,
): Promise<Record<Name, number>> {
  const figures = new Map<Name, number[]>()
  for (let round = 0; round < ROUNDS; round += 1)
    for (const path of paths)
      figures.set(path.name, [...(figures.get(path.name) ?? []), await measureOnce(path)])
  const medians = [...figures].map(([name, values]) => [name, getMedian(values)] as const)
  return Object.fromEntries(medians) as Record<Name, number>
}

export async function addAddresses({ from, to }: Path): Promise<void> {
  for (const [host, netns] of [
    [1, from],
    [2, to],
  ] as const) {
    await netns.run(['ip', 'address', 'add', `${ADDRESS}.${host}/24`, 'dev', NIC])
    await netns.run(['ip', 'link', 'set', 'dev', NIC, 'up'])
  }
}

/** Bits per second of one TCP stream, client and server on these cores. */
export async function measureTcp(
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
export async function measureFrames({ from, to }: Path): Promise<number> {
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
