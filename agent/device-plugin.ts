// The agent as the kubelet's device plugin for macvtaps: always served and registered with whichever kubelet
// there is. A kubelet that starts wipes the folder of plugins' sockets and makes its own anew; it knows
// nothing of plugins that do not register again. What it has handed out already goes on without us.
import { watch, type FSWatcher } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { basename, join } from 'node:path'

import {
  decodeMacvtapId,
  listIndices,
  listOtherMacvtaps,
  MACVTAP_RESOURCE,
  NULL_DEVICE,
  preferDevices,
  QEMU_ID,
  toDeviceFile,
} from '../core/macvtap.ts'
import { makeCharDevice } from '../kernel/char-device.ts'
import {
  registerPlugin,
  serveDevices,
  type DeviceAnswers,
  type DeviceServer,
  type DeviceSpec,
} from '../proto/device-plugin.ts'
import { withDevice } from './macvtap.ts'
import type { Node } from './node.ts'

/** Below the kubelet's folder, beside other plugins'. */
const ENDPOINT = 'l2wire-macvtap.sock'
const KUBELET_SOCKET = 'kubelet.sock'

/** A kubelet that starts removes and makes several files: one look for all of that. */
const SETTLE_MS = 100
/** How soon a registration that failed is tried again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 15_000
/** A kubelet that took a registration watches the list at once. */
const WATCH_MS = 2_000
/** A look without an event: a folder that is not there yet tells of none. */
const LOOK_MS = 10_000

/** Never fails: a kubelet that is not there is waited for, in the background. */
export function startDevicePlugin(node: Node, folder: string): Disposable {
  const kubeletSocket = join(folder, KUBELET_SOCKET)
  const ownSocket = join(folder, ENDPOINT)
  const log = node.log.child({ resource: MACVTAP_RESOURCE, folder })
  let server: DeviceServer | undefined
  let served: string | undefined
  let registered: string | undefined
  let isDoubted = false
  let registeredAt = 0
  let watcher: FSWatcher | undefined
  let watched: number | undefined
  let timer: NodeJS.Timeout | undefined
  let againMs = AGAIN_FIRST_MS
  let isStopped = false
  let isLooking = false
  let isMissed = false
  let said = ''

  const soon = (ms: number): void => {
    if (isStopped) return
    clearTimeout(timer)
    timer = setTimeout(() => void look(), ms).unref()
  }
  const say = (level: 'info' | 'warn', text: string): void => {
    if (text !== said) log[level](text)
    said = text
  }
  // A folder that was removed tells nothing more, and one that took its place has another inode.
  const watchFolder = async (): Promise<void> => {
    const ino = (await lstat(folder)).ino
    if (ino === watched) return
    watcher?.close()
    watcher = watch(folder, (_, file) => {
      if (file !== KUBELET_SOCKET && file !== ENDPOINT) return
      againMs = AGAIN_FIRST_MS
      soon(SETTLE_MS)
    })
    watcher.on('error', () => (watched = undefined))
    watched = ino
  }
  const answers: DeviceAnswers = {
    ...newDeviceAnswers(node),
    onUnwatched: () => {
      registered = undefined
      soon(AGAIN_FIRST_MS)
    },
  }
  /** Returns how soon to look again. */
  const bring = async (): Promise<number> => {
    // Two agents of one node would drive each other out for ever.
    if (!node.standing.isOurs()) return LOOK_MS
    const isFolder = (await readFileIdentity(folder)) !== undefined
    if (isFolder) await watchFolder()
    const kubelet = await readFileIdentity(kubeletSocket)
    if (kubelet === undefined) {
      registered = undefined
      // It has started this very pod, as a rule.
      say(
        'warn',
        'waiting for a kubelet: there is no kubelet.sock in the folder, is it the one that the kubelet uses?',
      )
      return LOOK_MS
    }
    if (server === undefined || (await readFileIdentity(ownSocket)) !== served) {
      // The old one first: closing a socket removes whatever file has its path.
      server?.close()
      server = await serveDevices(ownSocket, answers)
      served = await readFileIdentity(ownSocket)
      registered = undefined
    }
    if (registered === kubelet) {
      if (server.isWatched()) return LOOK_MS
      if (performance.now() - registeredAt < WATCH_MS) return WATCH_MS
      // A kubelet that loses our earlier connection just now closes the new one with it, unwatched (its
      // runClient, pkg/kubelet/cm/devicemanager/plugin/v1beta1/handler.go): nothing would ever tell us.
      if (!isDoubted) {
        // It may only be slow: it has until the next try.
        isDoubted = true
        throw new Error(
          'The kubelet took the registration and does not watch the list, expected it to',
        )
      }
    }
    isDoubted = false
    await registerPlugin(kubeletSocket, { endpoint: ENDPOINT, resourceName: MACVTAP_RESOURCE })
    registered = kubelet
    registeredAt = performance.now()
    said = ''
    say('info', 'registered with the kubelet')
    return WATCH_MS
  }
  const look = async (): Promise<void> => {
    if (isLooking) {
      isMissed = true
      return
    }
    isLooking = true
    try {
      const nextMs = await bring()
      if (nextMs === LOOK_MS) againMs = AGAIN_FIRST_MS
      soon(nextMs)
    } catch (error) {
      log.warn({ err: error, againMs }, 'cannot register with the kubelet yet')
      soon(againMs)
      againMs = Math.min(againMs * 2, AGAIN_MOST_MS)
    }
    isLooking = false
    if (isMissed) soon(SETTLE_MS)
    isMissed = false
    if (isStopped) server?.close()
  }
  void look()
  return {
    [Symbol.dispose]: () => {
      isStopped = true
      clearTimeout(timer)
      watcher?.close()
      if (!isLooking) server?.close()
    },
  }
}

/** What our devices are, whoever asks. */
function newDeviceAnswers(node: Node): Omit<DeviceAnswers, 'onUnwatched'> {
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
