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
import { toHandler } from './handler.ts'
import { plugIn } from './plug-in.ts'
import type { PlugOptions } from './plug-in.ts'

export interface HookOptions extends PlugOptions {
  /** Interfaces with this binding are ours. */
  readonly binding: string
  /** Called once the answer to Shutdown is on its way. */
  readonly onShutdown: () => void
}

export function addHooks(server: Server, options: HookOptions): void {
  const { binding, log } = options
  const callbacks: UntypedServiceImplementation = {
    OnDefineDomain: toHandler<OnDefineDomainParams, OnDefineDomainResult>(log, (params) => ({
      domainXML: plugIn(options, [binding], params.domainXML, params.vmi),
    })),
    // Never subscribed to for every VM: where anybody is, KubeVirt (1.9.0: pkg/hooks/manager.go)
    // follows a nil pointer, and virt-launcher ends, for each VM without a cloud-init volume; one
    // without user data loses its metadata whatever we answer; and only one sidecar is asked. But a
    // version's services are served whole. What comes goes back.
    PreCloudInitIso: toHandler<PreCloudInitIsoParams, PreCloudInitIsoResult>(
      log,
      ({ cloudInitNoCloudSource, cloudInitData }) => ({ cloudInitNoCloudSource, cloudInitData }),
    ),
    Shutdown: toHandler<object, object>(log, () => {
      setImmediate(options.onShutdown)
      return {}
    }),
  }
  const services = loadHookServices()
  server.addService(services.info, {
    Info: toHandler<object, InfoResult>(log, () => toInfo(binding)),
  })
  for (const version of HOOK_VERSIONS) server.addService(services.callbacks[version], callbacks)
}

function toInfo(binding: string): InfoResult {
  return {
    name: binding,
    hookPoints: [
      { name: 'OnDefineDomain', priority: 0 },
      { name: 'Shutdown', priority: 0 },
    ],
    versions: HOOK_VERSIONS,
  }
}
