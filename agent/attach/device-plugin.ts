// The agent as the kubelet's device plugin for macvtaps: always served and registered with whichever kubelet
// there is. A kubelet that starts wipes the folder of plugins' sockets and makes its own anew; it knows
// nothing of plugins that do not register again. What it has handed out already goes on without us.
import { watch as watchFolder, type FSWatcher } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { newBackoff } from '../../core/backoff.ts'
import {
  decodeMacvtapId,
  listIndices,
  listOtherMacvtaps,
  MACVTAP_RESOURCE,
  NULL_DEVICE,
  preferDevices,
  QEMU_ID,
  toDeviceFile,
} from '../../core/attach/macvtap.ts'
import {
  judge,
  setRegistered,
  setUnregistered,
  UNREGISTERED,
  WATCH_MS,
} from '../../core/attach/registration.ts'
import { makeCharDevice } from '../../kernel/char-device.ts'
import {
  registerPlugin,
  serveDevices,
  type DeviceAnswers,
  type DeviceServer,
  type DeviceSpec,
} from '../../proto/device-plugin.ts'
import { withDevice } from './macvtap.ts'
import type { AgentContext } from '../context.ts'

/** Below the kubelet's folder, beside other plugins'. */
const ENDPOINT = 'l2wire-macvtap.sock'
const KUBELET_SOCKET = 'kubelet.sock'

/** A kubelet that starts removes and makes several files: one look for all of that. */
const SETTLE_MS = 100
/** How soon a registration that failed is tried again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 15_000
/** A look without an event: a folder that is not there yet tells of none. */
const LOOK_MS = 10_000

/** Never fails: a kubelet that is not there is waited for, in the background. */
export function startDevicePlugin(node: AgentContext, folder: string): Disposable {
  const kubeletSocket = join(folder, KUBELET_SOCKET)
  const log = node.log.child({ resource: MACVTAP_RESOURCE, folder })
  const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
  let registration = UNREGISTERED

  const socket = newOwnSocket(join(folder, ENDPOINT), {
    ...newDeviceAnswers(node),
    onUnwatched: () => {
      registration = setUnregistered(registration)
      loop.runIn(AGAIN_FIRST_MS)
    },
  })
  const watch = newFolderWatch(folder, () => {
    backoff.reset()
    loop.runIn(SETTLE_MS)
  })
  const register = async (kubelet: string): Promise<void> => {
    await registerPlugin(kubeletSocket, { endpoint: ENDPOINT, resourceName: MACVTAP_RESOURCE })
    registration = setRegistered(kubelet, performance.now())
    log.info('registered with the kubelet')
  }
  /** Returns in how many milliseconds to look again. */
  const look = async (): Promise<number> => {
    await watch.renew()
    const kubelet = await readFileIdentity(kubeletSocket)
    if (kubelet !== undefined && (await socket.serve()))
      registration = setUnregistered(registration)
    const [next, todo] = judge(registration, {
      kubelet,
      isWatched: socket.isWatched(),
      nowMs: performance.now(),
    })
    registration = next
    if (todo === 'doubt')
      throw new Error(
        'The kubelet took the registration and does not watch the list, expected it to',
      )
    // It has started this very pod, as a rule.
    if (todo === 'say-missed')
      log.warn(
        'waiting for a kubelet: there is no kubelet.sock in the folder, is it the one that the kubelet uses?',
      )
    if (todo === 'register' && kubelet !== undefined) await register(kubelet)
    return todo === 'register' || todo === 'await-watch' ? WATCH_MS : LOOK_MS
  }
  const loop = newLoop(
    async () => {
      try {
        const nextMs = await look()
        if (nextMs === LOOK_MS) backoff.reset()
        return nextMs
      } catch (error) {
        const againMs = backoff.next()
        log.warn({ err: error, againMs }, 'cannot register with the kubelet yet')
        return againMs
      }
    },
    () => {
      watch.close()
      socket.close()
    },
  )
  return loop
}

interface Loop extends Disposable {
  /** The next run is in so many milliseconds, and no sooner. */
  readonly runIn: (ms: number) => void
}

/** Runs an action now, one at a time, and again in as many milliseconds as it says; end comes when it is disposed. */
function newLoop(action: () => Promise<number>, end: () => void): Loop {
  let timer: NodeJS.Timeout | undefined
  let isRunning = false
  let isAsked = false
  let isStopped = false
  const runIn = (ms: number): void => {
    if (isStopped) return
    clearTimeout(timer)
    timer = setTimeout(() => void run(), ms).unref()
  }
  const run = async (): Promise<void> => {
    if (isRunning) {
      isAsked = true
      return
    }
    isRunning = true
    runIn(await action())
    isRunning = false
    if (isAsked) runIn(SETTLE_MS)
    isAsked = false
    if (isStopped) end()
  }
  void run()
  return {
    runIn,
    [Symbol.dispose]: () => {
      isStopped = true
      clearTimeout(timer)
      if (!isRunning) end()
    },
  }
}

/** Tells of our socket and the kubelet's in a folder that may not be there yet. */
function newFolderWatch(
  folder: string,
  onChange: () => void,
): { readonly renew: () => Promise<void>; readonly close: () => void } {
  let watcher: FSWatcher | undefined
  let watched: string | undefined
  return {
    // A folder that was removed tells nothing more, and one that took its place is another file.
    renew: async () => {
      const ino = await lstat(folder).then(
        (found) => String(found.ino),
        () => undefined,
      )
      if (ino === undefined || ino === watched) return
      watcher?.close()
      watcher = watchFolder(folder, (_, file) => {
        if (file === KUBELET_SOCKET || file === ENDPOINT) onChange()
      })
      watcher.on('error', () => (watched = undefined))
      watched = ino
    },
    close: () => watcher?.close(),
  }
}

interface OwnSocket {
  /** Serves where nobody took the socket's file away since; resolves to whether it is another now. */
  readonly serve: () => Promise<boolean>
  readonly isWatched: () => boolean
  readonly close: () => void
}

function newOwnSocket(path: string, answers: DeviceAnswers): OwnSocket {
  let server: DeviceServer | undefined
  let served: string | undefined
  return {
    serve: async () => {
      if (server !== undefined && (await readFileIdentity(path)) === served) return false
      // The old one first: closing a socket removes whatever file has its path.
      server?.close()
      server = await serveDevices(path, answers)
      served = await readFileIdentity(path)
      return true
    },
    isWatched: () => server?.isWatched() ?? false,
    close: () => server?.close(),
  }
}

/** What our devices are, whoever asks. */
function newDeviceAnswers(node: AgentContext): Omit<DeviceAnswers, 'onUnwatched'> {
  const { folder, count } = node.macvtaps
  const listUsed = (): ReadonlySet<number> =>
    new Set(
      listOtherMacvtaps(node.state.listAll(), { containerID: '', ifname: '' }).map(
        ({ index }) => index,
      ),
    )
  const allocateOne = async (id: string): Promise<DeviceSpec> => {
    const file = toDeviceFile(decodeMacvtapId(id, 'devices_ids', count))
    const path = join(folder, file)
    // Until its link is made, and if none ever is, the container gets a device that does nothing: without a
    // file it would not start, and with an old one it would get another pod's.
    await withDevice(node, path, async () => makeCharDevice(node.run, path, NULL_DEVICE, QEMU_ID))
    return { container_path: `/dev/${file}`, host_path: path, permissions: 'rw' }
  }
  return {
    listIds: () => listIndices(count).map(String),
    allocate: async (ids) => {
      const devices: DeviceSpec[] = []
      for (const id of ids) devices.push(await allocateOne(id))
      node.log.info({ devices: ids }, 'a kubelet hands out macvtaps')
      return devices
    },
    prefer: (available, must, size) => preferDevices(available, must, size, listUsed()),
  }
}

/** An inode's number is soon used again; with its time it is one file's alone. */
async function readFileIdentity(path: string): Promise<string | undefined> {
  try {
    const { ino, ctimeNs } = await lstat(path, { bigint: true })
    return `${basename(path)} ${ino} ${ctimeNs}`
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
