// KubeVirt's hook services: bytes -> values -> core/domain -> bytes. Every version gets the same answers.
import type { Server, UntypedServiceImplementation } from '@grpc/grpc-js'

import { HOOK_VERSIONS, loadHookServices } from '../proto/load.ts'
import type {
  InfoResult,
  OnDefineDomainParams,
  OnDefineDomainResult,
  PreCloudInitIsoParams,
  PreCloudInitIsoResult,
} from '../proto/load.ts'
import { preCloudInitIso } from './cloud-init.ts'
import type { CloudInitOptions } from './cloud-init.ts'
import { toHandler } from './handler.ts'
import { plugIn } from './plug-in.ts'

export interface HookOptions extends CloudInitOptions {
  /** Whether the VM is one that is to be told of its network by cloud-init. */
  readonly isNetworkDataWanted: () => boolean
  /** Called once an answer to Info is on its way: virt-launcher has found us, the domain comes later. */
  readonly onInfo: () => void
  /** Called once the answer to Shutdown is on its way. */
  readonly onShutdown: () => void
}

export function addHooks(server: Server, options: HookOptions): void {
  const { binding, log } = options
  const callbacks: UntypedServiceImplementation = {
    OnDefineDomain: toHandler<OnDefineDomainParams, OnDefineDomainResult>(log, (params) => ({
      domainXML: plugIn(options, [binding], params.domainXML, params.vmi),
    })),
    // A version's services are served whole, whoever subscribes to them.
    PreCloudInitIso: toHandler<PreCloudInitIsoParams, PreCloudInitIsoResult>(log, (params) =>
      preCloudInitIso(options, params),
    ),
    Shutdown: toHandler<object, object>(log, () => {
      setImmediate(options.onShutdown)
      return {}
    }),
  }
  const services = loadHookServices()
  server.addService(services.info, {
    Info: toHandler<object, InfoResult>(log, () => {
      setImmediate(options.onInfo)
      return toInfo(options)
    }),
  })
  for (const version of HOOK_VERSIONS) server.addService(services.callbacks[version], callbacks)
}

function toInfo({ binding, isNetworkDataWanted }: HookOptions): InfoResult {
  // Never for every VM: where anybody subscribes to it, KubeVirt (1.9.0: pkg/hooks/manager.go) follows a
  // nil pointer, and virt-launcher ends, for each VM without a cloud-init volume; one without user data
  // loses its metadata whatever we answer; and only one sidecar is asked.
  const forCloudInit = isNetworkDataWanted() ? ['PreCloudInitIso'] : []
  return {
    name: binding,
    hookPoints: ['OnDefineDomain', ...forCloudInit, 'Shutdown'].map((name) => ({
      name,
      priority: 0,
    })),
    versions: HOOK_VERSIONS,
  }
}
