// The domain hook of a KubeVirt Plugin, which KubeVirt 1.10 calls a launcher hook. KubeVirt calls it once for all our
// bindings, after the hook sidecars.
import type { Server } from '@grpc/grpc-js'

import { DecodeError } from '../core/errors.ts'
import { INVOCATION_CONTEXTS, loadPluginServices } from '../proto/load.ts'
import type { MutateDomainRequest, MutateDomainResponse } from '../proto/load.ts'
import { toHandler } from './handler.ts'
import { plugIn } from './plug-in.ts'
import type { PlugOptions } from './plug-in.ts'

export interface DomainHookOptions extends PlugOptions {
  /** Interfaces with one of these bindings are ours. */
  readonly bindings: readonly string[]
}

export function addDomainHook(server: Server, options: DomainHookOptions): void {
  const answer = toHandler<MutateDomainRequest, MutateDomainResponse>(options.log, (request) => ({
    domain: mutateDomain(options, request),
  }))
  const { domainHook, launcherHook } = loadPluginServices()
  server.addService(domainHook, { MutateDomain: answer })
  server.addService(launcherHook, { GuestDefinition: answer })
}

function mutateDomain(options: DomainHookOptions, request: MutateDomainRequest): Buffer {
  if (request.domain_type !== 'libvirt')
    throw new DecodeError('domain_type', request.domain_type, '"libvirt"')
  const path = 'sidecar_context.invocation_context'
  const context = request.sidecar_context?.invocation_context
  if (!INVOCATION_CONTEXTS.some((known) => known === context))
    throw new DecodeError(path, context, `one of "${INVOCATION_CONTEXTS.join('", "')}"`)
  // This is the domain of a running guest, for a target that must find the same machine. Any edit would be a
  // difference.
  if (context === 'MigrationSource') return request.domain
  return plugIn(options, options.bindings, request.domain, request.vmi)
}
