// Plays the kubelet towards device plugins, over gRPC on real sockets in a folder of its own. It accepts
// registrations, watches the plugin's list, allocates devices, and reports which pod has which. Like the
// kubelet it starts by removing all sockets of the folder, and asks a plugin for its options before it accepts
// its registration (pkg/kubelet/cm/devicemanager).
import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  status,
  type ClientReadableStream,
  type MethodDefinition,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js'

import { loadService } from '../proto/load.ts'
import { callOnce } from '../proto/unary-call.ts'

const PLUGIN = loadService('./kubelet-deviceplugin-v1beta1.proto', 'v1beta1.DevicePlugin')
const REGISTRATION = loadService('./kubelet-deviceplugin-v1beta1.proto', 'v1beta1.Registration')
const LISTER = loadService('./kubelet-podresources-v1.proto', 'v1.PodResourcesLister')
const TIMEOUT_MS = 30_000

export interface Registered {
  readonly version: string
  readonly endpoint: string
  readonly resource_name: string
  readonly options: Readonly<Record<string, boolean>>
}

export interface PluginDevice {
  readonly ID: string
  readonly health: string
}

export interface ContainerDevice {
  readonly container_path: string
  readonly host_path: string
  readonly permissions: string
}

export interface LabKubelet extends AsyncDisposable {
  /** The folder of device plugins. */
  readonly folder: string
  readonly podResources: string
  readonly registered: readonly Registered[]
  /** The last list of the plugin that registered last; empty while none is watched. */
  readonly devices: () => readonly PluginDevice[]
  /**
   * Gives a pod, "NAMESPACE/NAME" or one of namespace default, these devices, or those that the plugin prefers.
   */
  readonly admit: (
    pod: string,
    count: number,
    ids?: readonly string[],
  ) => Promise<readonly ContainerDevice[]>
  /** Calls the plugin itself. */
  readonly call: <Answer>(method: string, request: object) => Promise<Answer>
  /** Ends the watch of the plugin's list. */
  readonly unwatch: () => void
  /** Refuses registrations from now on, or accepts them again. */
  readonly refuse: (isRefusing: boolean) => void
  readonly refused: () => number
  /** Accepts the next registrations, and watches none of them. */
  readonly ignore: (registrations: number) => void
  /** Its checkpoint. A kubelet that starts again reads it. */
  readonly pods: Map<string, PodEntry>
}

interface PodEntry {
  readonly name: string
  readonly namespace: string
  readonly containers: readonly object[]
}

/** Starts a kubelet below a folder. */
export async function newLabKubelet(
  root: string,
  pods: Map<string, PodEntry> = new Map(),
  options: { readonly isRefusing?: boolean } = {},
): Promise<LabKubelet> {
  const folder = join(root, 'device-plugins')
  const kubeletSocket = join(folder, 'kubelet.sock')
  const podResources = join(root, 'pod-resources', 'kubelet.sock')
  await mkdir(folder, { recursive: true })
  await mkdir(join(root, 'pod-resources'), { recursive: true })
  for (const file of await readdir(folder))
    if ((await lstat(join(folder, file))).isSocket()) await rm(join(folder, file))
  await rm(podResources, { force: true })

  const registered: Registered[] = []
  let devices: readonly PluginDevice[] = []
  let watching: { client: Client; stream: ClientReadableStream<object> } | undefined
  let isRefusing = options.isRefusing ?? false
  let refused = 0
  let deaf = 0

  const unwatch = (): void => {
    watching?.stream.cancel()
    watching?.client.close()
    watching = undefined
  }
  const watchList = (endpoint: string): void => {
    unwatch()
    const { path, requestSerialize, responseDeserialize } = PLUGIN[
      'ListAndWatch'
    ] as MethodDefinition<object, { devices: readonly PluginDevice[] }>
    const client = newClient(join(folder, endpoint))
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {})
    stream.on('data', (list: { devices: readonly PluginDevice[] }) => (devices = list.devices))
    // From here on the kubelet counts them as unhealthy.
    for (const event of ['end', 'error'])
      stream.on(event, () => {
        if (watching?.stream === stream) devices = []
      })
    watching = { client, stream }
  }
  const askOptions = async (endpoint: string): Promise<unknown> =>
    callOnce(join(folder, endpoint), {
      service: PLUGIN,
      method: 'GetDevicePluginOptions',
      request: {},
      timeoutMs: TIMEOUT_MS,
    })
  const registration = new Server()
  registration.addService(REGISTRATION, {
    Register: (call: ServerUnaryCall<Registered, object>, callback: sendUnaryData<object>) => {
      if (isRefusing) {
        refused += 1
        callback({ code: status.UNAVAILABLE, details: 'not yet' })
        return
      }
      const { endpoint } = call.request
      registered.push(call.request)
      askOptions(endpoint).then(
        () => {
          callback(null, {})
          if (deaf > 0) deaf -= 1
          else watchList(endpoint)
        },
        (error: unknown) => callback({ code: status.UNKNOWN, details: String(error) }),
      )
    },
  })
  const lister = new Server()
  lister.addService(LISTER, {
    List: (_call: unknown, callback: sendUnaryData<object>) =>
      callback(null, { pod_resources: [...pods.values()] }),
  })
  await listen(registration, kubeletSocket)
  await listen(lister, podResources)

  const call = async <Answer>(method: string, request: object): Promise<Answer> => {
    const endpoint = registered.at(-1)?.endpoint
    if (endpoint === undefined) throw new Error('No plugin has registered')
    return callOnce<Answer>(join(folder, endpoint), {
      service: PLUGIN,
      method,
      request,
      timeoutMs: TIMEOUT_MS,
    })
  }
  const prefer = async (count: number): Promise<readonly string[]> => {
    const given = new Set([...pods.values()].flatMap((pod) => JSON.stringify(pod).match(/\d{8}/g)))
    const available = devices.map(({ ID }) => ID).filter((id) => !given.has(id))
    if (available.length < count)
      throw new Error(`Cannot admit: ${available.length} devices are left`)
    const request = { available_deviceIDs: available, allocation_size: count }
    const answer = await call<{ container_responses: { deviceIDs: string[] }[] }>(
      'GetPreferredAllocation',
      { container_requests: [request] },
    )
    return answer.container_responses[0]?.deviceIDs ?? []
  }
  return {
    folder,
    podResources,
    registered,
    devices: () => devices,
    admit: async (pod, count, named) => {
      const ids = named ?? (await prefer(count))
      const answer = await call<{ container_responses: { devices: ContainerDevice[] }[] }>(
        'Allocate',
        { container_requests: [{ devices_ids: ids }] },
      )
      const resource = registered.at(-1)?.resource_name
      const given = [{ resource_name: resource, device_ids: ids }]
      const containers = [{ name: 'compute', devices: given }]
      const [name = '', namespace = 'default'] = pod.split('/').toReversed()
      pods.set(pod, { name, namespace, containers })
      return answer.container_responses[0]?.devices ?? []
    },
    call,
    unwatch,
    refuse: (isNow) => {
      isRefusing = isNow
    },
    refused: () => refused,
    ignore: (registrations) => {
      deaf = registrations
    },
    pods,
    [Symbol.asyncDispose]: () => {
      unwatch()
      registration.forceShutdown()
      lister.forceShutdown()
      return Promise.resolve()
    },
  }
}

function newClient(socket: string): Client {
  return new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  })
}

async function listen(server: Server, socket: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
}
