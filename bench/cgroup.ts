// A container's limits for one process: a cgroup of memory and CPU, of version 1 or 2, whichever the
// machine has. It goes when it is disposed; what still runs in it is killed first.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const ROOT = '/sys/fs/cgroup'
const PERIOD_US = 100_000

export interface Limits {
  readonly memoryBytes: number
  readonly cpus: number
}

export interface Cgroup extends AsyncDisposable {
  /** Runs the rest of an argv inside. */
  readonly prefix: readonly string[]
  /** How often the kernel has killed something in it for memory. */
  countKills(): number
}

/** Within its limits it comes before all else on the machine. */
export function newCgroup({ memoryBytes, cpus }: Limits): Cgroup {
  const name = `l2wbench-${process.pid}`
  const isV2 = existsSync(join(ROOT, 'cgroup.controllers'))
  const dirs = isV2 ? [join(ROOT, name)] : ['memory', 'cpu'].map((each) => join(ROOT, each, name))
  const [memory = '', cpu = memory] = dirs
  const quota = Math.round(cpus * PERIOD_US)
  for (const dir of dirs) mkdirSync(dir)
  try {
    if (isV2) {
      writeFileSync(join(memory, 'memory.max'), String(memoryBytes))
      writeFileSync(join(cpu, 'cpu.max'), `${quota} ${PERIOD_US}`)
      writeFileSync(join(cpu, 'cpu.weight'), '10000')
    } else {
      writeFileSync(join(memory, 'memory.limit_in_bytes'), String(memoryBytes))
      writeFileSync(join(cpu, 'cpu.cfs_period_us'), String(PERIOD_US))
      writeFileSync(join(cpu, 'cpu.cfs_quota_us'), String(quota))
      writeFileSync(join(cpu, 'cpu.shares'), '262144')
    }
  } catch (error) {
    for (const dir of dirs) rmdirSync(dir)
    throw error
  }
  const enter = dirs.map((dir) => `echo $$ > ${join(dir, 'cgroup.procs')}`).join(' && ')
  return {
    prefix: ['sh', '-c', `${enter} && exec "$@"`, 'sh'],
    countKills: () => {
      const events = readFileSync(
        join(memory, isV2 ? 'memory.events' : 'memory.oom_control'),
        'utf8',
      )
      return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0)
    },
    [Symbol.asyncDispose]: async () => {
      const procs = readFileSync(join(memory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)
      for (const pid of procs) process.kill(Number(pid), 'SIGKILL')
      for (const dir of dirs) await removeDir(dir)
    },
  }
}

// A killed process leaves its cgroup a moment later; until then the kernel says EBUSY.
async function removeDir(dir: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      rmdirSync(dir)
      return
    } catch (error) {
      if (tries === 50) throw error
      await sleep(100)
    }
  }
}
