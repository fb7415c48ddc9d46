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
/** Every Ethernet frame ends in four bytes that the NIC adds. */
const FCS_BYTES = 4
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
  const rounds = await measureRounds(paths, ROUNDS, measureOnce)
  const medians = paths.map(
    ({ name }) => [name, getMedian(rounds.map((round) => round[name]))] as const,
  )
  return Object.fromEntries(medians) as Record<Name, number>
}

/** What each round gave, for ratios within a round. */
export async function measureRounds<Name extends string>(
  paths: readonly Path<Name>[],
  rounds: number,
  measureOnce: (path: Path<Name>) => Promise<number>,
): Promise<readonly Record<Name, number>[]> {
  const figures: Record<Name, number>[] = []
  for (let round = 0; round < rounds; round += 1) {
    const figure: [string, number][] = []
    for (const path of paths) figure.push([path.name, await measureOnce(path)])
    figures.push(Object.fromEntries(figure) as Record<Name, number>)
  }
  return figures
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

/** Bits per second of one TCP stream, client and server on these cores; backwards from "to" to "from". */
export async function measureTcp(
  { from, to }: Path,
  cores: readonly [string, string] | undefined,
  options: { readonly bytes?: number; readonly isBackwards?: boolean } = {},
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
    ...(options.bytes === undefined
      ? ['--time', String(TCP_SECONDS)]
      : ['--bytes', String(options.bytes)]),
    '--json',
    ...(options.isBackwards === true ? ['--reverse'] : []),
  ]
  const report = JSON.parse(await from.run(client)) as {
    end: { sum_received: { bits_per_second: number } }
  }
  await ended
  return report.end.sum_received.bits_per_second
}

/** Frames per second that arrive at the other end, of 64 bytes, the FCS among them, unless another size is asked for. */
export async function measureFrames(
  { from, to }: Path,
  options: { readonly bytes?: number; readonly frames?: number } = {},
): Promise<number> {
  const { bytes = 64, frames: count = FRAMES } = options
  const folder = await mkdtemp(join(tmpdir(), 'l2w-bench-'))
  try {
    const header = fromHex(`${await readMac(to)} ${await readMac(from)} 88b5`)
    const frames = Array.from({ length: 1000 }, (_, at) =>
      concatBytes(header, fillPayload(bytes - FCS_BYTES - header.length, at)),
    )
    const file = join(folder, 'frames.pcap')
    await writeFile(file, encodePcap(frames))
    const before = await readReceived(to)
    const loop = ['--loop', String(count / frames.length), '--preload-pcap', '--topspeed']
    const said = await run(
      ['nsenter', `--net=${from.path}`, 'tcpreplay', ...loop, '-i', NIC, file],
      { timeoutMs: 60_000 },
    )
    const sentPerSecond = Number(/^Rated:.* ([\d.]+) pps$/m.exec(said)?.[1])
    return (((await readReceived(to)) - before) / count) * sentPerSecond
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readMac(netns: LabNetns): Promise<string> {
  const [link] = JSON.parse(await netns.run(['ip', '-j', 'link', 'show', 'dev', NIC])) as {
    address: string
  }[]
  return link?.address ?? ''
}

async function readReceived(netns: LabNetns): Promise<number> {
  const [link] = JSON.parse(await netns.run(['ip', '-j', '-s', 'link', 'show', 'dev', NIC])) as {
    stats64: { rx: { packets: number } }
  }[]
  return link?.stats64.rx.packets ?? 0
}
