// KubeVirt's hook contracts as service definitions: one place for the loader's options, so server
// and client can never disagree about names, defaults and types.
import { fileURLToPath } from 'node:url'

import type { ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** The versions of KubeVirt's Callbacks service, oldest first. */
export const HOOK_VERSIONS = ['v1alpha1', 'v1alpha2', 'v1alpha3'] as const
export type HookVersion = (typeof HOOK_VERSIONS)[number]

/** gRPC's own limit of 4 MB is less than what a VMI with many disks and a long status may take. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

export interface InfoResult {
  readonly name: string
  readonly hookPoints: readonly { readonly name: string; readonly priority: number }[]
  readonly versions: readonly string[]
}

export interface OnDefineDomainParams {
  readonly domainXML: Buffer
  readonly vmi: Buffer
}

export interface OnDefineDomainResult {
  readonly domainXML: Buffer
}

/** Why KubeVirt asks a domain hook. KubeVirt 1.9 never says MigrationSource, though its API knows it. */
export const INVOCATION_CONTEXTS = ['Boot', 'MigrationSource', 'MigrationTarget'] as const

/** Also a GuestDefinitionRequest. */
export interface MutateDomainRequest {
  readonly domain_type: string
  readonly domain: Buffer
  readonly vmi: Buffer
  /** Null where the client sent none. */
  readonly sidecar_context: { readonly invocation_context: string } | null
}

/** Also a GuestDefinitionResponse. */
export interface MutateDomainResponse {
  readonly domain: Buffer
}

export interface HookServices {
  readonly info: ServiceDefinition
  readonly callbacks: Readonly<Record<HookVersion, ServiceDefinition>>
}

/** Reads the .proto files that lie beside this file (or beside the bundle it became part of). */
export function loadHookServices(): HookServices {
  return {
    info: loadService('./hooks-info.proto', 'kubevirt.hooks.info.Info'),
    callbacks: {
      v1alpha1: loadService('./hooks-v1alpha1.proto', 'kubevirt.hooks.v1alpha1.Callbacks'),
      v1alpha2: loadService('./hooks-v1alpha2.proto', 'kubevirt.hooks.v1alpha2.Callbacks'),
      v1alpha3: loadService('./hooks-v1alpha3.proto', 'kubevirt.hooks.v1alpha3.Callbacks'),
    },
  }
}

/** The hook of a Plugin, by the names that KubeVirt 1.9 and 1.10 give it. Requests and answers have the same fields. */
export interface PluginServices {
  /** MutateDomain */
  readonly domainHook: ServiceDefinition
  /** GuestDefinition */
  readonly launcherHook: ServiceDefinition
}

export function loadPluginServices(): PluginServices {
  const scope = 'kubevirt.hooks.plugins.v1alpha1'
  return {
    domainHook: loadService('./plugin-v1alpha1.proto', `${scope}.DomainHookService`),
    launcherHook: loadService('./plugin-launcher-v1alpha1.proto', `${scope}.LauncherHookService`),
  }
}

/** Reads a service of a .proto file that lies beside this file. */
export function loadService(file: string, name: string): ServiceDefinition {
  const path = fileURLToPath(new URL(file, import.meta.url))
  // keepCase: the contract's field is "domainXML". defaults: proto3 leaves empty fields out of a
  // message; they are read as empty, not as undefined.
  const definition = loadSync(path, { keepCase: true, defaults: true })[name]
  if (definition === undefined || 'format' in definition) {
    throw new Error(`Cannot load "${path}": it does not define service "${name}"`)
  }
  return definition
}
