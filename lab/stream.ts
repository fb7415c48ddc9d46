// A numbered stream between a NIC of a guest and a NIC in a namespace of this machine, both ways at once (stream.pl).
// The guest's end goes where the guest goes.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { run } from '../kernel/run.ts'
import { startDaemon } from './daemon.ts'
import type { Guest, GuestNic } from './guest.ts'
import { ROOT } from './manifests.ts'
import { decodeStreamLog, type StreamLog } from './stream-log.ts'
import { newTemporaryFolder } from './temporary-folder.ts'

export interface StreamOptions {
  /** Path of the far end's namespace. */
  readonly netns: string
  readonly ifname: string
  /** Of the guest's NIC; by default its first. */
  readonly guestMac?: string
  /** The guest's shell, where the guest is by then. */
  readonly getGuest: () => Promise<Guest>
  readonly framesPerSecond: number
}

export interface Stream extends AsyncDisposable {
  /** Resolves when the far end has sent so many frames more. */
  readonly waitForFrames: (count: number) => Promise<void>
  /** Resolves when nothing is under way any more. */
  readonly end: () => Promise<{ readonly guest: StreamLog; readonly far: StreamLog }>
}

interface StreamEnd {
  /** To send, and with the next call to send no more. */
  readonly toggle: () => Promise<void>
  /** Resolves when nothing has come for a while. */
  readonly end: () => Promise<StreamLog>
}

interface FarEnd extends StreamEnd, AsyncDisposable {
  readonly count: () => FrameCounts
}

interface FrameCounts {
  readonly sent: number
  readonly heard: number
}

const SCRIPT = join(ROOT, 'lab/stream.pl')
const READY = 'ready'
const PATIENCE_MS = 120_000
const POLL_MS = 20
/** Of the guest's, before anything is done to the stream. */
const FIRST_FRAMES = 200

/** Resolves when frames arrive at both ends. */
export async function newStream(options: StreamOptions): Promise<Stream> {
  await using made = new AsyncDisposableStack()
  const nic = await findNic(options)
  const far = made.use(await startFarEnd(options, nic.mac))
  const guest = await startGuestEnd(options, nic.name, await readFarMac(options))
  await guest.toggle()
  await far.toggle()
  await waitUntil('frames of the guest arrive', () => far.count().heard >= FIRST_FRAMES)
  const resources = made.move()
  return {
    waitForFrames: async (count) => {
      const { sent } = far.count()
      await waitUntil(`${count} frames more are sent`, () => far.count().sent >= sent + count)
    },
    end: async () => {
      await far.toggle()
      await guest.toggle()
      // The guest's first: while it may still have frames under way, the far end listens.
      const log = await guest.end()
      return { guest: log, far: await far.end() }
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

async function startFarEnd(
  { netns, ifname, framesPerSecond }: StreamOptions,
  guestMac: string,
): Promise<FarEnd> {
  await using made = new AsyncDisposableStack()
  const folder = made.use(await newTemporaryFolder('stream'))
  const file = join(folder.path, 'log')
  const perl = [...toInside(netns), 'perl', SCRIPT]
  const daemon = startDaemon([...perl, ifname, guestMac, String(framesPerSecond), file])
  made.defer(async () => daemon.end('SIGKILL'))
  await waitUntil('the far end listens', () => {
    daemon.expectAlive()
    return daemon.readLog().includes(READY)
  })
  const resources = made.move()
  return {
    count: () => {
      daemon.expectAlive()
      const [, sent = 0, heard = 0] = /.*^(\d+) (\d+)$/ms.exec(daemon.readLog()) ?? []
      return { sent: Number(sent), heard: Number(heard) }
    },
    toggle: async () => {
      daemon.expectAlive()
      daemon.signal('SIGUSR1')
      return Promise.resolve()
    },
    end: async () => {
      daemon.expectAlive()
      await daemon.end('SIGTERM')
      return decodeStreamLog(await readFile(file))
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

async function startGuestEnd(
  { getGuest, framesPerSecond }: StreamOptions,
  nic: string,
  farMac: string,
): Promise<StreamEnd> {
  const guest = await getGuest()
  await guest.put('/tmp/stream.pl', await readFile(SCRIPT))
  // An earlier stream's word must not count: the one that starts is no longer there once it is signalled too early.
  await guest.run(`
    : >/tmp/stream.said
    perl /tmp/stream.pl ${nic} ${farMac} ${framesPerSecond} /tmp/stream >/tmp/stream.said 2>&1 &
    echo $! >/tmp/stream.pid
    until grep -q ${READY} /tmp/stream.said; do
      kill -0 $! || { cat /tmp/stream.said >&2; exit 1; }
      sleep 0.02
    done
  `)
  return {
    toggle: async () => {
      await (await getGuest()).run('kill -USR1 "$(cat /tmp/stream.pid)"')
    },
    end: async () => {
      const there = await getGuest()
      await there.run(`
        kill "$(cat /tmp/stream.pid)"
        while kill -0 "$(cat /tmp/stream.pid)" 2>/dev/null; do sleep 0.05; done
      `)
      return decodeStreamLog(await there.get('/tmp/stream'))
    },
  }
}

async function findNic({ getGuest, guestMac }: StreamOptions): Promise<GuestNic> {
  const guest = await getGuest()
  if (guestMac !== undefined) return guest.nicByMac(guestMac)
  const [nic] = await guest.nics()
  if (nic === undefined) throw new Error('The guest has no NIC')
  return nic
}

/** With the namespace's own /sys. */
function toInside(netns: string): readonly string[] {
  const mount = 'mount -t sysfs sysfs /sys && exec "$@"'
  return ['nsenter', `--net=${netns}`, 'unshare', '--mount', 'sh', '-c', mount, 'sh']
}

async function readFarMac({ netns, ifname }: StreamOptions): Promise<string> {
  const shown = await run([...toInside(netns), 'cat', `/sys/class/net/${ifname}/address`])
  return shown.trim()
}

async function waitUntil(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`Not so within ${PATIENCE_MS / 1000} s: ${what}`)
    await sleep(POLL_MS)
  }
}
