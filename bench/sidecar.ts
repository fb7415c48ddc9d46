// What a sidecar costs each VM, and whether it lives within what KubeVirt gives sidecars of VMs with
// dedicated CPUs: 64 MB and a fifth of a CPU. Measured on the shipped executable, over real gRPC.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { connect, type HookClient } from '../proto/hook-client.ts'
import { newCgroup } from './cgroup.ts'
import { newLargeDomain } from './large-domain.ts'
import { takePriority } from './priority.ts'
import { getMedian, getQuantile, toFigureRow, toRatioRow } from './row.ts'
import type { Row } from './row.ts'

const ROOT = new URL('..', import.meta.url).pathname
const SIDECAR = process.env['L2WIRE_SIDECAR'] ?? join(ROOT, 'dist/bin/l2wire-sidecar')
const FIXTURE = join(ROOT, 'test/fixtures/domain/x86_64.in.xml')
// A pod link that every namespace has.
const VMI = {
  spec: {
    domain: {
      devices: {
        interfaces: [
          { name: 'mgmt', masquerade: {} },
          { name: 'bench', binding: { name: 'l2wire' }, macAddress: '02:00:00:00:00:01' },
        ],
      },
    },
    networks: [
      { name: 'mgmt', multus: { networkName: 'mgmt' } },
      { name: 'bench', pod: {} },
    ],
  },
  status: { interfaces: [{ name: 'bench', podInterfaceName: 'lo' }] },
}

const CALLS = 10_000
/** From here on memory should stay as it is. */
const WARM_CALLS = 1_000
const MAX_GROWTH = 1.05
const STARTS = 7
const MAX_ANONYMOUS_MB = 35
/** KubeVirt's limits for sidecars (renderresources.go, v1.9.0), and its patience with Info (hooks/manager.go). */
const LIMITS = { memoryBytes: 64_000_000, cpus: 0.2 }
const UNHURRIED = { ...LIMITS, cpus: 2 }
const LIMITED_CALLS = 200
const LARGE_BYTES = 200_000
const LARGE_CALLS = 20
/** A VM asks two or three times in all: what one call took of the quota is back before the next. */
const PAUSE_MS = 500
const LIMITED = '64 MB, 0.2 CPU'
const MAX_INFO_MS = 1_000
const READY_MS = 60_000

interface Running extends AsyncDisposable {
  readonly socket: string
  readonly readyMs: number
  anonymousMb(): number
  /** Time on a CPU, so far. */
  cpuMs(): number
}

async function start(prefix: readonly string[] = []): Promise<Running> {
  const dir = mkdtempSync(join(tmpdir(), 'l2w-bench-'))
  const socket = join(dir, 'bench.sock')
  const started = performance.now()
  const [file, ...args] = [...prefix, SIDECAR, '--socket-dir', dir]
  const child = spawn(file, args, {
    env: { PATH: process.env['PATH'], HOME: '/', CONTAINER_NAME: 'bench' },
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  const running = {
    socket,
    readyMs: 0,
    anonymousMb: () => readAnonymousMb(child),
    cpuMs: () => readCpuMs(child),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      while (child.exitCode === null && child.signalCode === null) await sleep(5)
      rmSync(dir, { recursive: true })
    },
  }
  try {
    while (!existsSync(socket)) {
      if (child.exitCode !== null) throw new Error(`Cannot start "${SIDECAR}": it has ended`)
      if (performance.now() - started > READY_MS) throw new Error(`"${SIDECAR}" is not ready`)
      await sleep(2)
    }
    await timeInfo(socket)
  } catch (error) {
    await running[Symbol.asyncDispose]()
    throw error
  }
  return { ...running, readyMs: performance.now() - started }
}

// sh execs the wrapper, which execs node: one process id all along.
function readAnonymousMb(child: ChildProcess): number {
  const text = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024
}

function readCpuMs(child: ChildProcess): number {
  const dir = `/proc/${child.pid}/task`
  const times = readdirSync(dir).map((task) => readFileSync(`${dir}/${task}/schedstat`, 'utf8'))
  // The first number: nanoseconds.
  return times.reduce((sum, text) => sum + Number.parseInt(text, 10), 0) / 1e6
}

/** Milliseconds from dialling to the answer, on a connection of its own, as virt-launcher asks. */
async function timeInfo(socket: string): Promise<number> {
  using client = connect(socket, { timeoutMs: READY_MS })
  const started = performance.now()
  await client.info()
  return performance.now() - started
}

type Ask = (client: HookClient) => Promise<Buffer>

const defineDomain = async (client: HookClient, xml: string): Promise<Buffer> =>
  client.onDefineDomain('v1alpha3', xml, VMI)

async function timeCalls(socket: string, calls: number, ask: Ask, pauseMs = 0): Promise<number[]> {
  // Ours, not the sidecar's: it is a process like any other, and only its waiting is to be measured.
  await using made = new AsyncDisposableStack()
  made.use(await takePriority())
  const client = made.use(connect(socket, { timeoutMs: READY_MS }))
  const times: number[] = []
  for (let call = 0; call < calls; call += 1) {
    if (pauseMs > 0) await sleep(pauseMs)
    const started = performance.now()
    const answer = await ask(client)
    times.push(performance.now() - started)
    if (!answer.includes('ua-bench')) throw new Error('The sidecar has not plugged the NIC in')
  }
  return times
}

export async function benchSidecar(): Promise<Row[]> {
  return [
    ...(await benchFree()),
    ...(await benchMemory()),
    ...(await benchLimited()),
    ...(await benchLarge()),
  ]
}

async function benchFree(): Promise<Row[]> {
  const ready: number[] = []
  for (let count = 0; count < STARTS; count += 1) {
    await using sidecar = await start()
    ready.push(sidecar.readyMs)
  }
  return [toFigureRow('exec to first answer', toMs(getMedian(ready)))]
}

/** In the container's memory, but not a fifth of a CPU: that would take minutes. */
async function benchMemory(): Promise<Row[]> {
  await using cgroup = newCgroup(UNHURRIED)
  await using sidecar = await start(cgroup.prefix)
  const xml = readFileSync(FIXTURE, 'utf8')
  const ask: Ask = async (client) => defineDomain(client, xml)
  await timeCalls(sidecar.socket, WARM_CALLS, ask)
  const warmMb = sidecar.anonymousMb()
  const times = await timeCalls(sidecar.socket, CALLS - WARM_CALLS, ask)
  const mb = sidecar.anonymousMb()
  return [
    toFigureRow('OnDefineDomain p50', toMs(getMedian(times))),
    toFigureRow('OnDefineDomain p99', toMs(getQuantile(times, 0.99))),
    toMemoryRow(`anonymous memory after ${CALLS} calls`, mb),
    toRatioRow(`the same to after ${WARM_CALLS} calls`, mb / warmMb, { atMost: MAX_GROWTH }),
    toKillsRow('64 MB', cgroup.countKills()),
  ]
}

async function benchLimited(): Promise<Row[]> {
  await using cgroup = newCgroup(LIMITS)
  await using sidecar = await start(cgroup.prefix)
  const infos = [await timeInfo(sidecar.socket), await timeInfo(sidecar.socket)]
  const xml = readFileSync(FIXTURE, 'utf8')
  const times = await timeCalls(sidecar.socket, LIMITED_CALLS, async (client) =>
    defineDomain(client, xml),
  )
  infos.push(await timeInfo(sidecar.socket))
  const slowest = Math.max(...infos)
  return [
    toFigureRow(`${LIMITED}: exec to first answer`, toMs(sidecar.readyMs)),
    {
      name: `${LIMITED}: slowest Info`,
      measured: toMs(slowest),
      want: `<= ${MAX_INFO_MS} ms`,
      met: slowest <= MAX_INFO_MS,
    },
    toFigureRow(`${LIMITED}: OnDefineDomain p50, without a pause`, toMs(getMedian(times))),
    toMemoryRow(`${LIMITED}: anonymous memory after ${LIMITED_CALLS} calls`, sidecar.anonymousMb()),
    toKillsRow(LIMITED, cgroup.countKills()),
  ]
}

async function benchLarge(): Promise<Row[]> {
  await using cgroup = newCgroup(LIMITS)
  await using sidecar = await start(cgroup.prefix)
  const xml = newLargeDomain(readFileSync(FIXTURE, 'utf8'), LARGE_BYTES)
  const cpu: number[] = []
  const askAndCount: Ask = async (client) => {
    const before = sidecar.cpuMs()
    const answer = await defineDomain(client, xml)
    cpu.push(sidecar.cpuMs() - before)
    return answer
  }
  const times = await timeCalls(sidecar.socket, LARGE_CALLS, askAndCount, PAUSE_MS)
  const what = `${LIMITED}: OnDefineDomain of ${LARGE_BYTES / 1000} KB`
  return [
    toFigureRow(`${what}, first call`, toMs(times[0] ?? Number.NaN)),
    toFigureRow(`${what}, p50`, toMs(getMedian(times))),
    toFigureRow(`${what}, CPU`, toMs(getMedian(cpu))),
    toMemoryRow(`${LIMITED}: anonymous memory after them`, sidecar.anonymousMb()),
    toKillsRow(`${LIMITED}, 200 KB`, cgroup.countKills()),
  ]
}

function toKillsRow(name: string, kills: number): Row {
  return {
    name: `${name}: killed for memory`,
    measured: String(kills),
    want: '0',
    met: kills === 0,
  }
}

function toMemoryRow(name: string, mb: number): Row {
  return {
    name,
    measured: `${mb.toFixed(1)} MB`,
    want: `<= ${MAX_ANONYMOUS_MB} MB`,
    met: mb <= MAX_ANONYMOUS_MB,
  }
}

function toMs(ms: number): string {
  return `${ms.toFixed(1)} ms`
}
