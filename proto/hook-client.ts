// virt-launcher's side of the hook contract, for tests, benchmarks and the lab. Not part of a
// shipped process.
import { Client, credentials } from '@grpc/grpc-js'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

import { loadHookServices, loadPluginServices } from './load.ts'
import type {
  HookVersion,
  InfoResult,
  MutateDomainRequest,
  MutateDomainResponse,
  OnDefineDomainResult,
} from './load.ts'

export interface HookClient extends Disposable {
  info(): Promise<InfoResult>
  /** The domain XML as the sidecar answers it; text is sent as UTF-8. Rejects with a gRPC ServiceError. */
  onDefineDomain(
    version: HookVersion,
    domainXml: string | Uint8Array,
    vmi: string | Uint8Array | object,
  ): Promise<Buffer>
  /** What a Plugin's domain hook answers; by default asked as KubeVirt asks when a VM starts. */
  mutateDomain(
    domain: string | Uint8Array,
    vmi: string | Uint8Array | object,
    request?: Partial<MutateDomainRequest>,
  ): Promise<Buffer>
  /** The same by the service of KubeVirt 1.10. */
  guestDefinition: HookClient['mutateDomain']
  shutdown(): Promise<void>
  close(): void
}

export interface ConnectOptions {
  /** Milliseconds each call may take; default 10,000. KubeVirt allows Info 1,000 and the others 60,000. */
  readonly timeoutMs?: number
}

/** Connects lazily: the first call fails when nobody listens on the socket. */
export function connect(socketPath: string, options: ConnectOptions = {}): HookClient {
  const services = loadHookServices()
  const { domainHook, launcherHook } = loadPluginServices()
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    // What is too large is the sidecar's to say.
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  })
  const call = async <Result>(service: ServiceDefinition, name: string, params: object) =>
    new Promise<Result>((resolve, reject) => {
      const method = findMethod<Result>(service, name)
      client.makeUnaryRequest<object, Result>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        params,
        { deadline: Date.now() + (options.timeoutMs ?? 10_000) },
        (error, result) => {
          if (error !== null) reject(error)
          else if (result === undefined) reject(new Error(`Cannot read the answer of "${name}"`))
          else resolve(result)
        },
      )
    })
  const askPlugin =
    (service: ServiceDefinition, method: string): HookClient['mutateDomain'] =>
    async (domain, vmi, request = {}) => {
      const params: MutateDomainRequest = {
        domain_type: 'libvirt',
        domain: toBytes(domain),
        vmi: toBytes(vmi),
        sidecar_context: { invocation_context: 'Boot' },
        ...request,
      }
      return (await call<MutateDomainResponse>(service, method, params)).domain
    }
  return {
    info: async () => call<InfoResult>(services.info, 'Info', {}),
    onDefineDomain: async (version, domainXml, vmi) => {
      const params = { domainXML: toBytes(domainXml), vmi: toBytes(vmi) }
      const service = services.callbacks[version]
      return (await call<OnDefineDomainResult>(service, 'OnDefineDomain', params)).domainXML
    },
    mutateDomain: askPlugin(domainHook, 'MutateDomain'),
    guestDefinition: askPlugin(launcherHook, 'GuestDefinition'),
    shutdown: async () => {
      await call<object>(services.callbacks.v1alpha3, 'Shutdown', {})
    },
    close: () => {
      client.close()
    },
    [Symbol.dispose]: () => {
      client.close()
    },
  }
}

function findMethod<Result>(
  service: ServiceDefinition,
  name: string,
): MethodDefinition<object, Result> {
  const method: MethodDefinition<object, Result> | undefined = service[name]
  if (method === undefined) throw new Error(`Cannot call "${name}": the service does not define it`)
  return method
}

function toBytes(value: string | Uint8Array | object): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value)
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
}
