// KubeVirt's hook services: bytes -> values -> core/domain -> bytes. Every version gets the same answers.
import type { Server, UntypedServiceImplementation } from '@grpc/grpc-js'

import { HOOK_VERSIONS, loadHookServices } from '../proto/load.ts'
import type { InfoResult, OnDefineDomainParams, OnDefineDomainResult } from '../proto/load.ts'
import { toHandler } from './handler.ts'
import { plugIn } from './plug-in.ts'
import type { PlugOptions } from './plug-in.ts'

export interface HookOptions extends PlugOptions {
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
    Shutdown: toHandler<object, object>(log, () => {
      setImmediate(options.onShutdown)
      return {}
    }),
  }
  // KubeVirt asks for no other. Never PreCloudInitIso: if anybody subscribes to it, virt-launcher crashes on a
  // nil pointer for each VM without a cloud-init volume (1.9.0: pkg/hooks/manager.go).
  const info: InfoResult = {
    name: binding,
    hookPoints: ['OnDefineDomain', 'Shutdown'].map((name) => ({ name, priority: 0 })),
    versions: HOOK_VERSIONS,
  }
  const services = loadHookServices()
  server.addService(services.info, { Info: toHandler<object, InfoResult>(log, () => info) })
  for (const version of HOOK_VERSIONS) server.addService(services.callbacks[version], callbacks)
}
