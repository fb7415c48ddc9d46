// What KubeVirt hands over before it makes the cloud-init disk, and takes back: two documents of JSON. Pure.
import { DecodeError } from '../errors.ts'
import type { Field } from './field.ts'
import { asObject, asString, at } from './field.ts'

// KubeVirt v1.9.0: pkg/cloud-init, type CloudInitData, whose fields have Go's names.
const NETWORK_DATA = 'NetworkData'
// staging/src/kubevirt.io/api/core/v1, type CloudInitNoCloudSource.
const OLD_NETWORK_DATA = 'networkData'

export type CloudInitSource = 'noCloud' | 'configDrive'

/** One of the documents; undefined for an empty one, and for "null". */
export function parseCloudInit(path: string, text: string): Field | undefined {
  if (text === '') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new DecodeError(path, text.slice(0, 200), 'JSON', { cause })
  }
  const field = { path, value }
  return asObject(field) === undefined ? undefined : field
}

/** Whether the user has written network data. */
export function hasNetworkData(data: Field | undefined, oldData: Field | undefined): boolean {
  return (
    (data !== undefined && asString(at(data, NETWORK_DATA)) !== undefined) ||
    (oldData !== undefined && asString(at(oldData, OLD_NETWORK_DATA)) !== undefined)
  )
}

/** Which disk is to be made. The older document stood for NoCloud, when KubeVirt had no other. */
export function getSource(data: Field | undefined): CloudInitSource | undefined {
  if (data === undefined) return 'noCloud'
  const source = asString(at(data, 'DataSource'))
  return source === 'noCloud' || source === 'configDrive' ? source : undefined
}

export function withNetworkData(data: Field, text: string): string {
  return JSON.stringify({ ...asObject(data), [NETWORK_DATA]: text })
}

export function withOldNetworkData(oldData: Field, text: string): string {
  return JSON.stringify({ ...asObject(oldData), [OLD_NETWORK_DATA]: text })
}
