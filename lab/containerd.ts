// Debian's containerd and runc with all their files in a temporary folder, and containers whose file system is
// one busybox. With a CNI configuration each gets its interface as ctr's --cni makes it.
import { access, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { SOCKET_VARIABLE } from '../core/cni/socket.ts'
import { run } from '../kernel/run.ts'
import { PLUGIN_FOLDERS } from './cni.ts'
import { startDaemon, type Daemon } from './daemon.ts'
import type { Manifest } from './manifests.ts'

export interface LabContainerd extends AsyncDisposable {
  /** Starts a container that sleeps, and returns the path of its network namespace. */
  readonly start: (name: string) => Promise<string>
  /** Runs argv in a container. */
  readonly exec: (name: string, argv: readonly string[]) => Promise<string>
  readonly remove: (name: string) => Promise<void>
}

const APPLETS = ['sh', 'sleep', 'ip', 'cat']
const READY_MS = 60_000
const CTR_MS = 300_000

// Their folders in /etc, /opt, /run and /var are not the machine's. Others take their place in a mount
// namespace that ends with containerd.
const OWN_FOLDERS = `
folder=$1; shift
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/etc,workdir=$folder/work" overlay /etc
mount --bind "$folder/opt" /opt
mount --bind "$folder/var" /var/lib
mount -t tmpfs tmpfs /run
exec "$@"
`

/** The configuration is a list of plugins, in a runtime's format. The socket is the agent's. */
export async function newLabContainerd(conflist: Manifest, socket: string): Promise<LabContainerd> {
  await using made = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'l2w-containerd-'))
  made.defer(async () => rm(folder, { recursive: true, force: true }))
  await layOut(folder, conflist)
  const inside = ['unshare', '--mount', 'sh', '-ec', OWN_FOLDERS, 'sh', folder]
  const daemon = startDaemon([...inside, 'containerd', '--config', await writeConfig(folder)])
  made.defer(async () => daemon.end('SIGTERM'))
  await waitUntilServing(daemon)
  const toCtr = (argv: readonly string[]): readonly string[] => [
    'nsenter',
    `--mount=/proc/${daemon.pid}/ns/mnt`,
    'ctr',
    '--address',
    join(folder, 'containerd.sock'),
    ...argv,
  ]
  const ctr = async (argv: readonly string[]): Promise<string> =>
    run(toCtr(argv), { timeoutMs: CTR_MS })
  const containers = new Map<string, Daemon>()
  const remove = async (name: string): Promise<void> => {
    const container = containers.get(name)
    if (container === undefined) return
    containers.delete(name)
    await ctr(['task', 'kill', '--signal', 'SIGKILL', name])
    await container.ended
  }
  made.defer(async () => {
    for (const name of containers.keys()) await remove(name)
  })
  const resources = made.move()
  return {
    start: async (name) => {
      const rootfs = join(folder, 'rootfs')
      // Not detached: in containerd 1.6 the process that waits for the container also unplugs it.
      const options = ['--rm', '--null-io', '--cni', '--rootfs']
      const argv = toCtr(['run', ...options, rootfs, name, '/bin/sleep', '1d'])
      // It is ctr that calls the plugins.
      const container = startDaemon(argv, { [SOCKET_VARIABLE]: socket })
      try {
        const netns = await waitForNetns(container, name, ctr)
        containers.set(name, container)
        return netns
      } catch (error) {
        await container.end('SIGKILL')
        throw error
      }
    },
    exec: async (name, argv) => ctr(['task', 'exec', '--exec-id', 'x', name, ...argv]),
    remove,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

async function layOut(folder: string, conflist: Manifest): Promise<void> {
  const net = join(folder, 'etc/cni/net.d')
  for (const path of [net, ...['work', 'opt/cni/bin', 'var'].map((name) => join(folder, name))])
    await mkdir(path, { recursive: true })
  await writeFile(join(net, '10-l2w.conflist'), JSON.stringify(conflist))
  for (const { type } of conflist['plugins'] as { type: string }[]) {
    const [from] = (await Promise.all(PLUGIN_FOLDERS.map(async (at) => findFile(at, type)))).filter(
      Boolean,
    )
    if (from === undefined)
      throw new Error(`No CNI plugin "${type}" in ${PLUGIN_FOLDERS.join(':')}`)
    await symlink(from, join(folder, 'opt/cni/bin', type))
  }
  const rootfs = join(folder, 'rootfs')
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc'])
    await mkdir(join(rootfs, name), { recursive: true })
  await cp('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const applet of APPLETS) await symlink('busybox', join(rootfs, 'bin', applet))
}

async function findFile(folder: string, name: string): Promise<string | undefined> {
  const file = join(folder, name)
  return access(file).then(
    () => file,
    () => undefined,
  )
}

async function writeConfig(folder: string): Promise<string> {
  const config = join(folder, 'config.toml')
  const lines = [
    'version = 2',
    `root = "${join(folder, 'root')}"`,
    `state = "${join(folder, 'state')}"`,
    // No kubelet here.
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `address = "${join(folder, 'containerd.sock')}"`,
  ]
  await writeFile(config, lines.join('\n'))
  return config
}

async function waitUntilServing(daemon: Daemon): Promise<void> {
  const deadline = Date.now() + READY_MS
  while (!daemon.readLog().includes('successfully booted')) {
    daemon.expectAlive()
    if (Date.now() > deadline) throw new Error(`containerd did not start: ${daemon.readLog()}`)
    await sleep(50)
  }
}

async function waitForNetns(
  container: Daemon,
  name: string,
  ctr: (argv: readonly string[]) => Promise<string>,
): Promise<string> {
  const deadline = Date.now() + READY_MS
  for (;;) {
    container.expectAlive()
    // A table of task, pid and status.
    const tasks = await ctr(['task', 'list'])
    const pid = new RegExp(`^${name} +(\\d+) +RUNNING`, 'm').exec(tasks)?.[1]
    if (pid !== undefined) return `/proc/${pid}/ns/net`
    if (Date.now() > deadline) throw new Error(`Container "${name}" does not run: ${tasks}`)
    await sleep(50)
  }
}
