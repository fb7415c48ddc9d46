// The project's own YAML, read as a user would apply it. The demo and the tests run on it.
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { parse } from 'yaml'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'

export const ROOT = resolve(import.meta.dirname, '..')

export type Manifest = Readonly<Record<string, unknown>>

/** One document of a YAML file of this repository. Throws DecodeError if it is no mapping. */
export async function readManifest(path: string): Promise<Manifest> {
  const value: unknown = parse(await readFile(join(ROOT, path), 'utf8'))
  if (isRecord(value)) return value
  throw new DecodeError(path, value, 'a YAML mapping')
}

/** The value at a path of keys, as a mapping. Throws DecodeError if there is none. */
export function getMapping(manifest: Manifest, ...keys: readonly string[]): Manifest {
  let value: unknown = manifest
  for (const key of keys) value = isRecord(value) ? value[key] : undefined
  if (isRecord(value)) return value
  throw new DecodeError(keys.join('.'), value, 'a mapping')
}

/** The CNI configuration inside a NetworkAttachmentDefinition. Throws DecodeError. */
export function getNadConfig(nad: Manifest): Manifest {
  const { kind } = nad
  if (kind !== 'NetworkAttachmentDefinition')
    throw new DecodeError('kind', kind, 'NetworkAttachmentDefinition')
  const config = getMapping(nad, 'spec')['config']
  const value: unknown = typeof config === 'string' ? JSON.parse(config) : undefined
  if (isRecord(value)) return value
  throw new DecodeError('spec.config', config, 'a JSON object as text')
}

/** An element of the annotation k8s.v1.cni.cncf.io/networks. */
export interface NetworkSelection {
  readonly name: string
  readonly interface: string
  readonly mac?: string
  readonly ips?: readonly string[]
}

/** The networks that a pod asks Multus for; none if it has only the pod network. Throws DecodeError. */
export function getNetworkSelections(pod: Manifest): readonly NetworkSelection[] {
  const { annotations = {} } = getMapping(pod, 'metadata')
  const annotation = isRecord(annotations)
    ? annotations['k8s.v1.cni.cncf.io/networks']
    : annotations
  if (annotation === undefined) return []
  const value: unknown = typeof annotation === 'string' ? JSON.parse(annotation) : undefined
  if (Array.isArray(value)) return value as NetworkSelection[]
  throw new DecodeError('k8s.v1.cni.cncf.io/networks', annotation, 'a JSON list as text')
}

/** Name and registration of the binding that a patch of the KubeVirt CR adds. Throws DecodeError. */
export function getBinding(patch: Manifest): { readonly name: string; readonly plugin: Manifest } {
  const bindings = getMapping(patch, 'spec', 'configuration', 'network', 'binding')
  const [name] = Object.keys(bindings)
  if (name === undefined) throw new DecodeError('binding', bindings, 'one binding')
  return { name, plugin: getMapping(bindings, name) }
}
