// A container of a pod without a runtime: its command in the pod's network namespace, in a root made of this
// machine and Debian's packages, with the volumes and capabilities from the manifest.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { ensurePackages } from './debian-packages.ts'

const SCRIPT = fileURLToPath(new URL('container-sandbox.sh', import.meta.url))
const START_MS = 60_000

/** The default capabilities of containerd and CRI-O. */
const DEFAULT_CAPABILITIES = (
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP ' +
  'SETGID SETPCAP SETUID SYS_CHROOT'
).split(' ')
const ENTER = 'nsenter --mount --pid --uts --net --target'
/** "ip netns exec" mounts the namespace's own /sys; unshare dies with us and the container with unshare. */
const IN_NETNS = 'setpriv --pdeathsig KILL ip netns exec'
const ISOLATE = 'unshare --mount --pid --uts --fork --kill-child=KILL sh'

export interface ContainerSpec {
  readonly name: string
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  readonly securityContext?: {
    readonly privileged?: boolean
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
  }
}

export interface ContainerOptions {
  readonly netnsName: string
  readonly hostname: string
  readonly spec: ContainerSpec
  /** Folders by the name of their volume. */
  readonly volumes: Readonly<Record<string, string>>
  /** The Debian packages that its command comes from. */
  readonly packages: readonly string[]
}

export interface Container extends AsyncDisposable {
  /** argv that runs another argv inside, as "kubectl exec" does. */
  readonly toInsideArgv: (argv: readonly string[]) => readonly string[]
  /** The command's output. */
  readonly readLog: () => string
}

/** The capabilities that a container of this specification has; undefined: all of them. */
function toCapabilities({ securityContext }: ContainerSpec): readonly string[] | undefined {
  if (securityContext?.privileged === true) return undefined
  const { add = [], drop = [] } = securityContext?.capabilities ?? {}
  const kept = drop.includes('ALL')
    ? []
    : DEFAULT_CAPABILITIES.filter((capability) => !drop.includes(capability))
  return [...new Set([...kept, ...add])]
}

/** argv that drops all other capabilities and runs another argv. */
function toConfined(spec: ContainerSpec): readonly string[] {
  const capabilities = toCapabilities(spec)
  if (capabilities === undefined) return []
  const set = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',')
  return ['setpriv', '--bounding-set', set, '--inh-caps', '-all', '--']
}

function toArgv(options: ContainerOptions, packages: string): readonly string[] {
  const { spec } = options
  const command = [...(spec.command ?? []), ...(spec.args ?? [])]
  // We do not know an image's own command here.
  if (spec.command === undefined)
    throw new Error(`Cannot start container "${spec.name}": it has no command`)
  const mounts = (spec.volumeMounts ?? []).map(({ name, mountPath }) => {
    const folder = options.volumes[name]
    if (folder !== undefined) return [folder, mountPath]
    throw new Error(`Cannot start container "${spec.name}": no volume "${name}"`)
  })
  const isPrivileged = spec.securityContext?.privileged === true
  return [
    ...IN_NETNS.split(' '),
    options.netnsName,
    ...ISOLATE.split(' '),
    SCRIPT,
    options.hostname,
    packages,
    isPrivileged ? 'rw' : 'ro',
    String(mounts.length),
    ...mounts.flat(),
    ...toConfined(spec),
    ...command,
  ]
}

/** Resolves when the container's command runs. */
export async function newContainer(options: ContainerOptions): Promise<Container> {
  const { spec } = options
  const [file = '', ...args] = toArgv(options, await ensurePackages(options.packages))
  // A session of its own, so that ^C ends only us, and we end the container.
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
  })
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  let log = ''
  const keep = (chunk: Buffer): void => {
    log = (log + chunk.toString('utf8')).slice(-65_536)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const dispose = async (): Promise<void> => {
    if (hasEnded()) return
    const ended = once(child, 'close')
    const pid = await findFirst(child.pid).catch(() => undefined)
    // The first process ends all others of its namespace, and then its parent ends.
    if (pid === undefined) child.kill('SIGKILL')
    else process.kill(Number(pid), 'SIGKILL')
    await ended
  }
  const deadline = Date.now() + START_MS
  for (;;) {
    const pid = await findFirst(child.pid)
    if (pid !== undefined && (await runsCommand(pid)))
      return {
        toInsideArgv: (argv) => [...ENTER.split(' '), pid, '--', ...toConfined(spec), ...argv],
        readLog: () => log,
        [Symbol.asyncDispose]: dispose,
      }
    if (hasEnded() || Date.now() > deadline) {
      await dispose()
      throw new Error(`Cannot start container "${options.hostname}/${spec.name}": ${log.trim()}`)
    }
    await sleep(10)
  }
}

/** The first process of the container, by its number outside. */
async function findFirst(parent: number | undefined): Promise<string | undefined> {
  const listed = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '')
  const [pid = ''] = listed.trim().split(' ')
  return pid === '' ? undefined : pid
}

/** Whether it has become the command itself, after unshare, our script and setpriv. */
async function runsCommand(pid: string): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const argv = text.split('\0')
  const isOurs = argv[0] === 'unshare' || argv.includes(SCRIPT) || argv[1] === '--bounding-set'
  return text !== '' && !isOurs
}
