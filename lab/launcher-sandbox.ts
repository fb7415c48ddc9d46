// A virt-launcher's surroundings: libvirtd in a network namespace from the caller, with mount and pid
// namespaces of its own. It keeps nothing outside them, so killing its first process ends everything. Dispose
// does that, and parent-death signals do it however our own process dies.
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { access, cp, mkdir, readdir, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { CommandError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import type { GuestImage } from './guest-image.ts'
import { LAB_DIRECTORY } from './lab-directory.ts'

const SCRIPT = fileURLToPath(new URL('launcher-sandbox.sh', import.meta.url))
/** libvirt takes a second to find QEMU's capabilities. They are the same in each sandbox. */
const CACHE_DIRECTORY = path.join(LAB_DIRECTORY, 'libvirt-capabilities')
const START_MS = 60_000

export interface SandboxOptions {
  readonly netnsName: string
  readonly image: GuestImage
  /** Made for user 107, inside. */
  readonly privateDirectory: string
  readonly diskNames: readonly string[]
  /** Files of character devices outside, copied to /dev as a container runtime does. */
  readonly devices?: readonly string[]
}

export interface Sandbox extends AsyncDisposable {
  /** A path inside the sandbox, as this process reaches it. */
  toOutsidePath(inside: string): string
  /** argv that runs another argv inside, as root, in all of the sandbox's namespaces. */
  toInsideArgv(argv: readonly string[]): readonly string[]
  /** libvirt's own, as this process reaches it. */
  readonly uri: string
  virsh(argv: readonly string[]): Promise<string>
  /** The output of libvirtd and the set-up, for messages. */
  readLog(): string
  saveCapabilities(): Promise<void>
}

/** Resolves when libvirtd answers. */
export async function newSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { image } = options
  await mkdir(CACHE_DIRECTORY, { recursive: true })
  // "ip netns exec" mounts the namespace's own /sys; unshare dies with us and PID 1 with unshare.
  const isolate = 'unshare --mount --pid --uts --mount-proc --fork --kill-child=KILL'
  const command = [
    ...`setpriv --pdeathsig KILL ip netns exec ${options.netnsName} ${isolate} sh`.split(' '),
    SCRIPT,
    options.netnsName,
    image.kernel,
    image.initrd,
    CACHE_DIRECTORY,
    options.privateDirectory,
    (options.devices ?? []).join(' '),
    ...options.diskNames,
  ]
  const [file = '', ...args] = command
  // A session of its own, so that ^C ends only us, and we end the sandbox.
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let log = ''
  const keep = (chunk: Buffer) => {
    log = (log + chunk.toString('utf8')).slice(-65_536)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  try {
    const pid = await findFirstProcess(child)
    const sandbox = newHandle(child, pid, () => log)
    await waitForLibvirt(sandbox, child)
    return sandbox
  } catch (error) {
    await end(child)
    throw new CommandError(command, { stderr: log.trim() }, { cause: error })
  }
}

function newHandle(child: ChildProcess, pid: string, readLog: () => string): Sandbox {
  // "/var/run" is a link to "/run". Followed from here it would lead to the machine's own.
  const toOutsidePath = (inside: string): string =>
    `/proc/${pid}/root${inside.replace(/^\/var\/run\//, '/run/')}`
  const uri = `qemu+unix:///system?socket=${toOutsidePath('/run/libvirt/libvirt-sock')}`
  return {
    toOutsidePath,
    uri,
    toInsideArgv: (argv) => [
      'nsenter',
      '--target',
      pid,
      '--mount',
      '--pid',
      '--net',
      '--',
      ...argv,
    ],
    virsh: async (argv) =>
      run(['virsh', '--quiet', '-c', uri, ...argv], {
        timeoutMs: 120_000,
      }),
    readLog,
    saveCapabilities: async () => {
      const made = toOutsidePath('/var/cache/libvirt/qemu/capabilities')
      for (const name of await readdir(made)) {
        const target = path.join(CACHE_DIRECTORY, name)
        // This changes with the machine's QEMU, and then libvirt asks QEMU again.
        const known = await readFile(target).catch(() => undefined)
        if (known?.equals(await readFile(path.join(made, name))) === true) continue
        // Another launcher may read or write it at this moment.
        const temporary = path.join(LAB_DIRECTORY, `tmp-${randomUUID()}-${name}`)
        await cp(path.join(made, name), temporary)
        await rename(temporary, target)
      }
    },
    [Symbol.asyncDispose]: () => end(child),
  }
}

/** The sandbox's PID 1, by its number outside. */
async function findFirstProcess(child: ChildProcess): Promise<string> {
  const deadline = Date.now() + START_MS
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
    const [pid] = children.trim().split(' ')
    if (pid !== undefined && pid !== '') return pid
    await sleep(5)
  }
  throw new Error('Cannot start the sandbox')
}

async function waitForLibvirt(sandbox: Sandbox, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_MS
  const socket = sandbox.toOutsidePath('/run/libvirt/libvirt-sock')
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error('Cannot start libvirtd: the sandbox ended')
    }
    const listening = await access(socket).then(
      () => true,
      () => false,
    )
    if (listening) return
    if (Date.now() > deadline) throw new Error(`Cannot reach libvirtd within ${START_MS} ms`)
    await sleep(10)
  }
}

/** Returns when every process of the sandbox and its mounts are gone. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'close')
  const pid = await findFirstProcess(child).catch(() => undefined)
  // PID 1 first: its parent then reaps it, and ends only once the namespace is empty.
  if (pid === undefined) child.kill('SIGKILL')
  else process.kill(Number(pid), 'SIGKILL')
  await ended
}
