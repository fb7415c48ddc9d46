// What a sidecar costs each VM, and whether it lives within what KubeVirt gives sidecars of VMs with
// dedicated CPUs: 64 MB and a fifth of a CPU. Measured on the shipped executable, over real gRPC.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { connect } from '../proto/hook-client.ts'
import { newCgroup } from './cgroup.ts'
import { getMedian, getQuantile } from './row.ts'
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

const CALLS = 2_000
const STARTS = 7
const MAX_ANONYMOUS_MB = 25
/** KubeVirt's limits for sidecars (renderresources.go, v1.9.0), and its patience with Info (hooks/manager.go). */
const LIMITS = { memoryBytes: 64_000_000, cpus: 0.2 }
const LIMITED_CALLS = 200
const MAX_INFO_MS = 1_000
const READY_MS = 60_000

interface Running extends AsyncDisposable {
  readonly socket: string
  readonly readyMs: number
  anonymousMb(): number
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

/** Milliseconds from dialling to the answer, on a connection of its own, as virt-launcher asks. */
async function timeInfo(socket: string): Promise<number> {
  using client = connect(socket, { timeoutMs: READY_MS })
  const started = performance.now()
  await client.info()
  return performance.now() - started
}

async function timeCalls(socket: string, calls: number): Promise<number[]> {
  const xml = readFileSync(FIXTURE)
  using client = connect(socket, { timeoutMs: READY_MS })
  const times: number[] = []
  for (let call = 0; call < calls; call += 1) {
    const started = performance.now()
    const answer = await client.onDefineDomain('v1alpha3', xml, VMI)
    times.push(performance.now() - started)
    if (!answer.includes('ua-bench')) throw new Error('The sidecar has not plugged the NIC in')
  }
  return times
}

export async function benchSidecar(): Promise<Row[]> {
  return [...(await benchFree()), ...(await benchLimited())]
}

async function benchFree(): Promise<Row[]> {
  const ready: number[] = []
  for (let count = 1; count < STARTS; count += 1) {
    await using sidecar = await start()
    ready.push(sidecar.readyMs)
  }
  await using sidecar = await start()
  ready.push(sidecar.readyMs)
  const times = await timeCalls(sidecar.socket, CALLS)
  return [
    { name: 'exec to first answer', measured: toMs(getMedian(ready)), want: '', met: undefined },
    { name: 'OnDefineDomain p50', measured: toMs(getMedian(times)), want: '', met: undefined },
    {
      name: 'OnDefineDomain p99',
      measured: toMs(getQuantile(times, 0.99)),
      want: '',
      met: undefined,
    },
    toMemoryRow(`anonymous memory after ${CALLS} calls`, sidecar.anonymousMb()),
  ]
}

async function benchLimited(): Promise<Row[]> {
  await using cgroup = newCgroup(LIMITS)
  await using sidecar = await start(cgroup.prefix)
  const infos = [await timeInfo(sidecar.socket), await timeInfo(sidecar.socket)]
  const times = await timeCalls(sidecar.socket, LIMITED_CALLS)
  infos.push(await timeInfo(sidecar.socket))
  const slowest = Math.max(...infos)
  const where = '64 MB, 0.2 CPU'
  return [
    {
      name: `${where}: exec to first answer`,
      measured: toMs(sidecar.readyMs),
      want: '',
      met: undefined,
    },
    {
      name: `${where}: slowest Info`,
      measured: toMs(slowest),
      want: `<= ${MAX_INFO_MS} ms`,
      met: slowest <= MAX_INFO_MS,
    },
    {
      name: `${where}: OnDefineDomain p50`,
      measured: toMs(getMedian(times)),
      want: '',
      met: undefined,
    },
    toMemoryRow(`${where}: anonymous memory after ${LIMITED_CALLS} calls`, sidecar.anonymousMb()),
    {
      name: `${where}: killed for memory`,
      measured: String(cgroup.countKills()),
      want: '0',
      met: cgroup.countKills() === 0,
    },
  ]
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
