// A device plugin's two sides towards the kubelet, over gRPC: it serves its devices on a socket in the
// kubelet's folder, and registers that socket with the kubelet's own.
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'

import {
  logVerbosity,
  Server,
  ServerCredentials,
  setLogVerbosity,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js'

import { DecodeError, renderCauses } from '../core/errors.ts'
import { loadService } from './load.ts'
import { callOnce } from './unary-call.ts'

const FILE = './kubelet-deviceplugin-v1beta1.proto'
export const DEVICE_PLUGIN_VERSION = 'v1beta1'
const REGISTER_MS = 5_000

const OPTIONS = { pre_start_required: false, get_preferred_allocation_available: true }

export interface DeviceSpec {
  readonly container_path: string
  readonly host_path: string
  readonly permissions: string
}

/** What a plugin answers; each may throw DecodeError for devices that it does not have. */
export interface DeviceAnswers {
  readonly listIds: () => readonly string[]
  /** The devices of one container. */
  readonly allocate: (ids: readonly string[]) => Promise<readonly DeviceSpec[]>
  readonly prefer: (
    available: readonly string[],
    must: readonly string[],
    size: number,
  ) => readonly string[]
  /** Called when the last kubelet that watched the list has gone. */
  readonly onUnwatched: () => void
}

export interface DeviceServer {
  /** Whether a kubelet watches the list: only then does it know of any device. */
  readonly isWatched: () => boolean
  /** Ends what is open, and removes the socket. */
  readonly close: () => void
}

interface AllocateRequest {
  readonly container_requests: readonly { readonly devices_ids: readonly string[] }[]
}

interface PreferRequest {
  readonly container_requests: readonly {
    readonly available_deviceIDs: readonly string[]
    readonly must_include_deviceIDs: readonly string[]
    readonly allocation_size: number
  }[]
}

/** Serves until closed; takes the place of a socket that is there. */
export async function serveDevices(
  socketPath: string,
  answers: DeviceAnswers,
): Promise<DeviceServer> {
  // It would write to stderr in its own format what it also returns as an error.
  setLogVerbosity(logVerbosity.NONE)
  const server = new Server({ 'grpc.enable_channelz': 0 })
  let watchers = 0
  let isClosed = false
  const listAndWatch = (call: ServerWritableStream<object, object>): void => {
    watchers += 1
    let isOver = false
    const over = (): void => {
      if (isOver) return
      isOver = true
      watchers -= 1
      if (watchers === 0 && !isClosed) answers.onUnwatched()
    }
    // The kubelet ends it by going away, or by dropping the plugin.
    for (const event of ['cancelled', 'close', 'error']) call.on(event, over)
    // A macvtap needs nothing but its kernel: all are healthy, and the list never changes.
    call.write({ devices: answers.listIds().map((ID) => ({ ID, health: 'Healthy' })) })
  }
  server.addService(loadService(FILE, 'v1beta1.DevicePlugin'), {
    GetDevicePluginOptions: toHandler(async () => OPTIONS),
    ListAndWatch: listAndWatch,
    GetPreferredAllocation: toHandler(async ({ container_requests: requests }: PreferRequest) => ({
      container_responses: requests.map((one) => ({
        deviceIDs: answers.prefer(
          one.available_deviceIDs,
          one.must_include_deviceIDs,
          one.allocation_size,
        ),
      })),
    })),
    Allocate: toHandler(async ({ container_requests: requests }: AllocateRequest) => {
      const responses: object[] = []
      for (const one of requests)
        responses.push({ devices: await answers.allocate(one.devices_ids) })
      return { container_responses: responses }
    }),
    PreStartContainer: toHandler(async () => ({})),
  })
  await rm(socketPath, { force: true })
  // A listener of our own: a server that is shut down waits for its clients to hang up, and the kubelet's
  // connection must not keep us.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const sockets = new Set<Socket>()
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    injector.injectConnection(socket)
  })
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(socketPath, resolve)
  })
  await chmod(socketPath, 0o600)
  return {
    isWatched: () => watchers > 0,
    close: () => {
      isClosed = true
      listener.close()
      server.forceShutdown()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Tells the kubelet at this socket of a plugin's socket in the same folder. Rejects with a gRPC ServiceError. */
export async function registerPlugin(
  kubeletSocket: string,
  plugin: { readonly endpoint: string; readonly resourceName: string },
): Promise<void> {
  await callOnce<object>(kubeletSocket, {
    service: loadService(FILE, 'v1beta1.Registration'),
    method: 'Register',
    request: {
      version: DEVICE_PLUGIN_VERSION,
      endpoint: plugin.endpoint,
      resource_name: plugin.resourceName,
      options: OPTIONS,
    },
    timeoutMs: REGISTER_MS,
  })
}

function toHandler<Request, Answer>(answer: (request: Request) => Promise<Answer>) {
  return (call: ServerUnaryCall<Request, Answer>, callback: sendUnaryData<Answer>): void => {
    answer(call.request).then(
      (result) => callback(null, result),
      (error: unknown) =>
        callback({
          code: error instanceof DecodeError ? status.INVALID_ARGUMENT : status.INTERNAL,
          details: renderCauses(error),
        }),
    )
  }
}
