// virt-launcher's container and the sidecars beside it as KubeVirt lays them out, without libvirt: network namespace,
// user 107 without capabilities, and each sidecar seeing only its own part of the folders for sockets.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

import { ensureHookDriver } from '../../lab/cluster-hooks.ts'
import { ROOT } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'

/** A step of test/cluster/kubevirt-hooks/main.go. */
export interface Step {
  readonly do: 'collect' | 'define' | 'migratable' | 'preCloudInitIso' | 'shutdown'
  readonly sidecars?: number
  readonly timeoutMs?: number
  readonly vmi?: object
  readonly domain?: string
  readonly plugins?: readonly object[]
  readonly context?: 'Boot' | 'MigrationSource' | 'MigrationTarget'
  readonly bindings?: object
}

/** What KubeVirt's code returned; "panic": virt-launcher would be gone. */
export interface Answer<Result = unknown> {
  readonly result?: Result
  readonly error?: string
  readonly panic?: string
}

export interface SidecarOptions {
  readonly binding: string
  /** N of the container's name "hook-sidecar-N" and of its folder. */
  readonly index: number
  /** Default: as KubeVirt names it. */
  readonly containerName?: string
}

export interface PluginSidecarOptions {
  /** Of the Plugin, and of its folder. */
  readonly name: string
  readonly socketPath: string
}

export interface LaunchedSidecar {
  /** As "kill" takes it. */
  readonly kill: (signal: NodeJS.Signals) => void
  readonly exited: Promise<number | null>
  readonly readLog: () => string
}

export interface VirtLauncher extends AsyncDisposable {
  readonly play: <Result>(step: Step) => Promise<Answer<Result>>
  /** The sidecar of a binding; resolves when it says that it listens. */
  readonly newSidecar: (options: SidecarOptions) => Promise<LaunchedSidecar>
  /** The sidecar of a Plugin. */
  readonly newPluginSidecar: (options: PluginSidecarOptions) => Promise<LaunchedSidecar>
  /** Whatever lies where KubeVirt looks for the sockets of bindings' sidecars. */
  readonly listSockets: () => Promise<readonly string[]>
  /** Ends the steps; the exit code. */
  readonly end: () => Promise<number | null>
  readonly readLog: () => string
}

const AS_QEMU =
  'setpriv --reuid=107 --regid=107 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs'

// Nothing of it is left when process 1, the driver, has ended.
const LAUNCHER = `
  set -eu
  driver=$1 project=$2
  mount -t tmpfs -o mode=755 l2wire /run
  mkdir -p /run/kubevirt-hooks /run/kubevirt-plugin /run/l2wire/driver /run/l2wire/project
  mount --bind "$driver" /run/l2wire/driver
  mount --bind "$project" /run/l2wire/project
  exec ${AS_QEMU} /run/l2wire/driver/kubevirt-hooks
`

const SIDECAR = `
  set -eu
  own=$1 seen=$2; shift 2
  mkdir -p "$own"
  chown 107:107 "$own"
  mount --bind "$own" "$seen"
  exec ${AS_QEMU} env -i HOME=/ PATH="$PATH" "$@"
`

/** Starts KubeVirt's code in the pod's namespace. Everything started in here ends with it. */
export async function newVirtLauncher(netns: LabNetns): Promise<VirtLauncher> {
  const driver = await ensureHookDriver()
  // "ip netns exec" mounts a /sys of that namespace, as a container runtime does.
  const isolate = 'unshare --mount --pid --mount-proc --fork --kill-child=KILL sh -c'
  const enter = `--pdeathsig KILL ip netns exec ${netns.name} ${isolate}`
  const argv = [...enter.split(' '), LAUNCHER, 'sh', dirname(driver), ROOT]
  const child = spawn('setpriv', argv, { stdio: ['pipe', 'pipe', 'pipe'] })
  const readLog = keepLog(child)
  const ended = once(child, 'close') as Promise<[number | null]>
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const play = async <Result>(step: Step): Promise<Answer<Result>> => {
    child.stdin.write(`${JSON.stringify(step)}\n`)
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`KubeVirt's code ended: ${readLog()}`)
    return JSON.parse(value) as Answer<Result>
  }
  const end = async (): Promise<number | null> => {
    child.stdin.end()
    return (await ended)[0]
  }
  // An answer says that the folders are there.
  await play({ do: 'collect', sidecars: 0 })
  const pid = await findChild(child)
  return {
    play,
    newSidecar: async ({ binding, index, containerName }) => {
      const folder = `hook-sidecar-${index}`
      return startSidecar(pid, {
        own: `/run/kubevirt-hooks/${folder}`,
        seen: '/run/kubevirt-hooks',
        env: {
          CONTAINER_NAME: containerName ?? folder,
          NETWORK_BINDING_PLUGIN_NAME: binding,
        },
        args: [],
      })
    },
    newPluginSidecar: async ({ name, socketPath }) => {
      const own = `/run/kubevirt-plugin/${name}`
      return startSidecar(pid, { own, seen: own, env: {}, args: ['--plugin-socket', socketPath] })
    },
    listSockets: async () => {
      const hooks = `/proc/${pid}/root/run/kubevirt-hooks`
      const entries = await readdir(hooks, { recursive: true, withFileTypes: true })
      return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    },
    end,
    readLog,
    [Symbol.asyncDispose]: async () => {
      await end()
    },
  }
}

interface Container {
  /** A folder of virt-launcher's, and where this container has it mounted. */
  readonly own: string
  readonly seen: string
  readonly env: Readonly<Record<string, string>>
  readonly args: readonly string[]
}

async function startSidecar(launcher: number, container: Container): Promise<LaunchedSidecar> {
  const { own, seen, env, args } = container
  const enter = `--target ${launcher} --mount --pid --net unshare --mount sh -c`
  const argv = [
    ...enter.split(' '),
    SIDECAR,
    'sh',
    own,
    seen,
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    '/run/l2wire/project/dist/bin/l2wire-sidecar',
    ...args,
  ]
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'ignore', 'pipe'] })
  const readLog = keepLog(child)
  const ended = once(child, 'close') as Promise<[number | null]>
  await expectSoon(`the sidecar for ${own} listens`, () => {
    if (child.exitCode !== null) throw new Error(`The sidecar has ended: ${readLog()}`)
    return readLog().includes('"listening"')
  })
  const pid = await findChild(child)
  return {
    kill: (signal) => {
      process.kill(pid, signal)
      // nsenter stops itself when what it started stops, and would not notice the end of that.
      if (signal === 'SIGCONT') child.kill(signal)
    },
    exited: ended.then(([code]) => code),
    readLog,
  }
}

function keepLog(child: ChildProcess): () => string {
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text))
  return () => log
}

/** The one process inside the namespaces, by the number it has out here. */
async function findChild({ pid }: ChildProcess): Promise<number> {
  const children = await readFile(join('/proc', `${pid}/task/${pid}/children`), 'utf8')
  return Number(children.trim())
}
