// A little machine inside this one: namespaces and cgroups of its own, a first process that reaps orphans, and
// daemons. Nodes are such machines, and so is the fabric. It outlives the process that starts it.
import type { ChildProcess } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { startChild } from '../../kernel/child.ts'
import { run, type RunOptions } from '../../kernel/run.ts'
import { ensureMachineCgroup, removeCgroup, type MachineCgroup } from './cgroups.ts'
import { CGROUP, MACHINES } from './state.ts'

/** The folder of all machines. */
export interface MachinePlace {
  readonly folder: string
  readonly cgroup: string
}

const CLUSTER: MachinePlace = { folder: MACHINES, cgroup: CGROUP }

export interface Machine {
  readonly name: string
  /** Its first process, by its number on this machine. Throws if the machine is off. */
  readonly getPid: () => Promise<number>
  readonly isOn: () => Promise<boolean>
  /** Runs argv inside. */
  readonly run: (argv: readonly string[], options?: RunOptions) => Promise<string>
  /** The argv to run here so that argv runs inside, for callers that want the process itself. */
  readonly enter: (argv: readonly string[]) => Promise<readonly string[]>
  /** Does nothing if it is on. The script sets up its mounts and devices; see first-process.sh. */
  readonly powerOn: (setup: string, argv: readonly string[]) => Promise<void>
  /** All its processes end at once, and with them its namespaces, devices, mounts and cgroups. */
  readonly powerOff: () => Promise<void>
  /** Does nothing if it runs. */
  readonly start: (daemon: string, argv: readonly string[]) => Promise<void>
  /** Ends it and waits until it is gone. Does nothing if it does not run. Its children keep running. */
  readonly stop: (daemon: string, signal?: NodeJS.Signals) => Promise<void>
  readonly signal: (daemon: string, signal: NodeJS.Signals) => Promise<void>
  readonly runs: (daemon: string) => Promise<boolean>
  readonly readLog: (daemon: string) => Promise<string>
}

const ON_MS = 60_000
const AGAIN_MS = 50
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/l2w/bin'
const FIRST_PROCESS = join(import.meta.dirname, 'first-process.sh')

/** Files of cgroups, "--", a command: joins the cgroups and becomes the command. */
const JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1"; shift; done; shift; exec "$@"'
/**
 * It becomes a child of the first process, because its parent ends. Until it has its name it is still the
 * shell.
 */
const START = `name=$1 comm=$2; shift 2
setsid "$@" </dev/null >>"/run/l2w/log/$name.log" 2>&1 &
pid=$!
echo $pid >"/run/l2w/$name.pid"
while now=$(cat "/proc/$pid/comm" 2>/dev/null) && [ "$now" != "$comm" ]; do sleep 0.02; done`
/** The kernel keeps this many letters of it. */
const PROCESS_NAME_LENGTH = 15
// The number may belong to another process by now.
const RUNS = `pid=$(cat "/run/l2w/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]`
const SIGNAL = `${RUNS} && kill -s "$3" "$pid"`
const STOP = `${RUNS} || exit 0
kill -s "$3" "$pid"
tries=0
while [ -e "/proc/$pid" ]; do
  tries=$((tries + 1))
  [ $tries -ne 200 ] || kill -s KILL "$pid"
  sleep 0.1
done
rm -f "/run/l2w/$1.pid"`
const STOP_MS = 60_000

export function newMachine(name: string, place = CLUSTER): Machine {
  const folder = join(place.folder, name)
  const cgroup = join(place.cgroup, name)
  const readLog = async (daemon: string): Promise<string> =>
    readIfThere(join(folder, 'log', `${daemon}.log`))

  const findPid = async (): Promise<number | undefined> => {
    const pid = Number(await readIfThere(join(folder, 'pid')))
    // The number may belong to another process by now.
    const cgroups = pid > 0 ? await readIfThere(`/proc/${pid}/cgroup`) : ''
    return cgroups.includes(`/${cgroup}/`) ? pid : undefined
  }
  const getPid = async (): Promise<number> => {
    const pid = await findPid()
    if (pid === undefined) throw new Error(`Machine "${name}" is off, expected it to be on`)
    return pid
  }
  const enter: Machine['enter'] = async (argv) => [
    'nsenter',
    `--target=${await getPid()}`,
    '--all',
    '--',
    'env',
    `PATH=${PATH}`,
    'HOME=/root',
    ...argv,
  ]
  const inside: Machine['run'] = async (argv, options) => run(await enter(argv), options)
  const runs: Machine['runs'] = async (daemon) =>
    inside(toDaemonArgv(RUNS, daemon)).then(
      () => true,
      () => false,
    )
  return {
    name,
    getPid,
    isOn: async () => (await findPid()) !== undefined,
    enter,
    run: inside,
    powerOn: async (setup, argv) => {
      if ((await findPid()) !== undefined) return
      // Leftovers of an earlier start that was interrupted.
      await removeCgroup(cgroup)
      await mkdir(join(folder, 'log'), { recursive: true })
      await rm(join(folder, 'pid'), { force: true })
      const child = await startFirstProcess(folder, await ensureMachineCgroup(place.cgroup, name), [
        join(import.meta.dirname, setup),
        ...argv,
      ])
      const deadline = Date.now() + ON_MS
      while ((await findPid()) === undefined) {
        const hasEnded = child.exitCode !== null || child.signalCode !== null
        if (hasEnded || Date.now() > deadline)
          throw new Error(`Machine "${name}" does not start: ${await readLog('init')}`)
        await sleep(AGAIN_MS)
      }
    },
    powerOff: async () => {
      const pid = await findPid()
      // Its process namespace ends with it, all at once.
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
      await removeCgroup(cgroup)
      await rm(join(folder, 'pid'), { force: true })
    },
    start: async (daemon, argv) => {
      if (await runs(daemon)) return
      const files = await ensureMachineCgroup(place.cgroup, name)
      const entered = await enter(toDaemonArgv(START, daemon, ...argv))
      await run([...toJoin(files.processes), ...entered])
    },
    stop: async (daemon, signal = 'SIGTERM') => {
      const argv = toDaemonArgv(STOP, daemon, signal.slice('SIG'.length))
      await inside(argv, { timeoutMs: STOP_MS })
    },
    signal: async (daemon, signal) => {
      await inside(toDaemonArgv(SIGNAL, daemon, signal.slice('SIG'.length)))
    },
    runs,
    readLog,
  }
}

/** A script about a daemon. Its first arguments are the names of file and process. */
function toDaemonArgv(
  script: string,
  daemon: string,
  ...more: readonly string[]
): readonly string[] {
  return ['sh', '-ec', script, 'sh', daemon, daemon.slice(0, PROCESS_NAME_LENGTH), ...more]
}

/** The prefix of a command that runs in cgroups. */
function toJoin(files: readonly string[]): readonly string[] {
  return ['sh', '-ec', JOIN, 'sh', ...files, '--']
}

/** Its result stays beside the machine while that is on. */
async function startFirstProcess(
  folder: string,
  files: MachineCgroup,
  argv: readonly string[],
): Promise<ChildProcess> {
  await using log = await open(join(folder, 'log/init.log'), 'a')
  const argvToStart = [
    // Ctrl-C is for us.
    'setsid',
    ...toJoin(files.processes),
    'unshare',
    '--mount',
    '--net',
    '--uts',
    '--ipc',
    '--pid',
    '--fork',
    '--propagation',
    'private',
    // The root of a cgroup namespace is its creator's cgroup.
    ...toJoin(files.root),
    'unshare',
    '--cgroup',
    ...toJoin(files.processes),
    'sh',
    FIRST_PROCESS,
    folder,
    ...argv,
  ]
  const child = await startChild(argvToStart, {
    stdio: ['ignore', log.fd, log.fd],
    env: { PATH },
  })
  child.unref()
  return child
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    // ESRCH: the process has ended meanwhile.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return ''
    throw error
  }
}
