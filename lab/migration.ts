// A running VM that moves between two launchers without a cluster: they are on nodes n1 and n2, each with its own
// libvirt. A numbered stream runs between its guest and the far end of its network all the while.
import { chmod, chown, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { CommandError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from './cluster.ts'
import { toDomainName } from './domain.ts'
import { toVmi, type Vmi } from './domain-vmi.ts'
import type { Guest } from './guest.ts'
import { newEmptyLauncher, newLauncher, type EmptyLauncher } from './launcher.ts'
import type { Manifest } from './manifests.ts'
import { findPause, watchQemu, type QemuEvent, type QemuEvents } from './migration-events.ts'
import { NETWORK, type MigrationShape } from './migration-shape.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import { newStream, type Stream } from './stream.ts'
import { compareLogs, toMs, type Direction, type Pause } from './stream-log.ts'
import { newTemporaryFolder } from './temporary-folder.ts'

/** Of the three nodes of the lab: where the VM boots, where it moves to, and another one. */
export type Place = 'source' | 'target' | 'third'

export interface MigrationOptions {
  readonly newShape: (nodes: readonly ClusterNode[]) => Promise<MigrationShape>
  readonly farPlace: Place
}

export interface MigrationLab extends AsyncDisposable {
  readonly cluster: LabCluster
  /** A stream between guest and far end: resolves when it runs both ways. Ask for its report before the next one. */
  readonly startStream: () => Promise<MigrationStream>
  /**
   * Makes a pod to which the VM is to move; more is what its CNI arguments say on top of what any launcher's say.
   * It goes with the lab, or before.
   */
  readonly newTarget: (options?: TargetOptions) => Promise<LauncherPod>
  /** Starts to move the VM from where it is. */
  readonly migrate: (target: LauncherPod, options?: MigrateOptions) => Promise<Migration>
  /** Where the VM is. */
  readonly getPod: () => LauncherPod
  /** The guest's shell, where the guest is; a migration ends it. */
  readonly getGuest: () => Promise<Guest>
  /** The far end of its network. */
  readonly far: LabNetns
}

export interface LauncherPod extends AsyncDisposable {
  readonly netns: LabNetns
  readonly launcher: EmptyLauncher
  readonly events: QemuEvents
}

export interface TargetOptions {
  readonly place?: Place
  readonly more?: Manifest
}

export interface MigrateOptions {
  /** By default as fast as it goes. */
  readonly mibPerSecond?: number
}

export interface Migration {
  /** COMPLETED, or what virsh said; never rejects. */
  readonly ended: Promise<string>
  /** Resolves when memory is under way. */
  readonly waitForTransfer: () => Promise<void>
  readonly cancel: () => Promise<void>
}

export interface MigrationStream {
  /** Resolves when the far end has sent so many frames more. */
  readonly waitForFrames: (count: number) => Promise<void>
  /** Ends the stream. */
  readonly readReport: () => Promise<MigrationReport>
}

export interface MigrationReport {
  readonly toGuest: Direction
  readonly fromGuest: Direction
  /** From the guest's stop in one launcher until it ran again; 0 where it never stopped. */
  readonly pauseMs: number
}

export const COMPLETED = 'completed'
/** Of the stream, each way: an emulated guest bears as many. */
export const FRAMES_PER_SECOND = 1000

const PATIENCE_MS = 120_000
const POLL_MS = 5
const QEMU_USER = 107

/** Resolves when the guest is up. */
export async function newMigrationLab(options: MigrationOptions): Promise<MigrationLab> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster({ count: 3 }))
  const [source, target, third] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
  const nodes: Readonly<Record<Place, ClusterNode>> = { source, target, third }
  const shape = await options.newShape(cluster.nodes)
  const vmi = newVmi(shape)
  // Where QEMU listens for another's memory: launchers have the machine's folder for temporary files.
  const folder = made.use(await newTemporaryFolder('migration'))
  await chown(folder.path, QEMU_USER, QEMU_USER)
  await chmod(folder.path, 0o755)
  const far = made.use(await newLabNetns('far', { ipv6: false }))
  made.defer(async () => shape.unplugFar(nodes[options.farPlace], far))
  await shape.plugFar(nodes[options.farPlace], far)
  // Pods come as long as there is a lab.
  const launchers = made.use(new AsyncDisposableStack())
  const pods: LauncherPod[] = []
  const addPod = async (
    place: Place,
    more: Manifest,
    start: StartLauncher,
  ): Promise<LauncherPod> => {
    const pod = launchers.use(await newLauncherPod({ on: nodes[place], shape, more, start }))
    pods.push(pod)
    return pod
  }
  let at = await addPod('source', {}, async ({ name }, devices) =>
    newLauncher({ netnsName: name, vmi, devices }),
  )
  const shell = made.use(newShell(() => at.launcher))
  await shell.getGuest()
  let moves = 0
  const resources = made.move()
  return {
    cluster,
    startStream: async () => {
      const startedAt = Date.now() * 1000
      const stream = resources.use(
        await newStream({
          netns: far.path,
          ifname: shape.farNic,
          framesPerSecond: FRAMES_PER_SECOND,
          getGuest: shell.getGuest,
        }),
      )
      const readEvents = (): readonly QemuEvent[] =>
        pods.flatMap(({ events }) => events.read()).filter((event) => event.at > startedAt)
      return {
        waitForFrames: stream.waitForFrames,
        readReport: async () => readReport(stream, findPause(readEvents())),
      }
    },
    newTarget: async ({ place = 'target', more = {} } = {}) =>
      addPod(place, more, async ({ name }, devices) =>
        newEmptyLauncher({ netnsName: name, vmi, devices }),
      ),
    migrate: async (to, { mibPerSecond } = {}) => {
      moves += 1
      const from = at
      const before = countTransfers(from)
      await shell.close()
      const files = join(folder.path, String(moves))
      const moved = migrate({ from: from.launcher, to: to.launcher, files, mibPerSecond })
      return {
        ended: moved.then((said) => {
          if (said === COMPLETED) at = to
          return said
        }),
        waitForTransfer: async () =>
          waitUntil('memory is under way', () => countTransfers(from) > before),
        cancel: async () => {
          await from.launcher.virsh(['domjobabort', toDomainName(vmi)])
        },
      }
    },
    getPod: () => at,
    getGuest: shell.getGuest,
    far,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function newVmi({ nic, queues }: MigrationShape): Vmi {
  const spec = {
    domain: {
      cpu: { sockets: queues },
      devices: { interfaces: [nic], networkInterfaceMultiqueue: queues > 1 },
    },
    networks: [{ name: NETWORK, multus: { networkName: NETWORK } }],
    // What the stream is written in. A configured network: the guest asks nobody for an address.
    volumes: [
      { name: 'seed', cloudInitNoCloud: { userData: 'packages: [perl-base]', networkData: '' } },
    ],
  }
  return toVmi({ kind: 'VirtualMachine', metadata: { name: 'r1' }, spec: { template: { spec } } })
}

type StartLauncher = (netns: LabNetns, devices: readonly string[]) => Promise<EmptyLauncher>

interface PodOptions {
  readonly on: ClusterNode
  readonly shape: MigrationShape
  readonly more: Manifest
  readonly start: StartLauncher
}

async function newLauncherPod({ on, shape, more, start }: PodOptions): Promise<LauncherPod> {
  await using made = new AsyncDisposableStack()
  const netns = made.use(await newLabNetns('r1', { ipv6: false }))
  made.defer(async () => shape.unplugLauncher(on, netns))
  const devices = await shape.plugLauncher(on, netns, more)
  const launcher = made.use(await start(netns, devices))
  const events = made.use(watchQemu(launcher))
  const resources = made.move()
  return { netns, launcher, events, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}

interface Shell extends AsyncDisposable {
  readonly getGuest: () => Promise<Guest>
  readonly close: () => Promise<void>
}

/** The guest's shell, by the launcher that the guest is in. */
function newShell(getLauncher: () => EmptyLauncher): Shell {
  let guest: Promise<Guest> | undefined
  const close = async (): Promise<void> => {
    const open = guest
    guest = undefined
    if (open !== undefined) (await open).close()
  }
  return {
    getGuest: async () => {
      guest ??= getLauncher().connectGuest()
      return guest
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

// As virt-launcher v1.9.0 does (virtwrap/live-migration-source.go): live, persistent, memory by a unix socket, the
// domain as the source's libvirt describes it for another one.
async function migrate({
  from,
  to,
  files,
  mibPerSecond,
}: {
  readonly from: EmptyLauncher
  readonly to: EmptyLauncher
  readonly files: string
  readonly mibPerSecond: number | undefined
}): Promise<string> {
  const domain = toDomainName(from.vmi)
  const xml = `${files}.xml`
  await writeFile(xml, await from.virsh(['dumpxml', '--migratable', domain]))
  const limit = mibPerSecond === undefined ? [] : ['--bandwidth', String(mibPerSecond)]
  const how = ['--live', '--persistent', '--xml', xml, '--persistent-xml', xml, ...limit]
  const where = ['--migrateuri', `unix://${files}.memory`, domain, to.sandbox.uri]
  try {
    await run(['virsh', '--quiet', '-c', from.sandbox.uri, 'migrate', ...how, ...where], {
      timeoutMs: PATIENCE_MS,
    })
    return COMPLETED
  } catch (error) {
    if (error instanceof CommandError) return error.stderr.trim()
    throw error
  }
}

/** Ends the VM's process in this launcher, whether it runs or waits for its memory. */
export async function killVm({ launcher }: LauncherPod): Promise<void> {
  const { sandbox, vmi } = launcher
  const file = sandbox.toOutsidePath(`/run/libvirt/qemu/${toDomainName(vmi)}.pid`)
  const pid = (await readFile(file, 'utf8')).trim()
  await run(sandbox.toInsideArgv(['kill', '-KILL', pid]))
}

/** How often the VM's memory has begun to leave, or to come. */
function countTransfers({ events }: LauncherPod): number {
  return events
    .read()
    .filter(({ name, details }) => name === 'MIGRATION' && details.includes('"active"')).length
}

async function waitUntil(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`Not so within ${PATIENCE_MS / 1000} s: ${what}`)
    await sleep(POLL_MS)
  }
}

async function readReport(stream: Stream, pause: Pause | undefined): Promise<MigrationReport> {
  const { guest, far } = await stream.end()
  return {
    toGuest: compareLogs(far, guest, pause),
    // The guest's clock stops with it: no frame of its own is from a time in which it did not run.
    fromGuest: compareLogs(guest, far),
    pauseMs: toMs(pause),
  }
}
