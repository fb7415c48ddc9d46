// What shim and agent say to each other over the unix socket: one JSON line each way.
import type { CniArgs } from './cni/env.ts'
import { isRecord } from './cni/config.ts'
import { DecodeError } from './errors.ts'

export const PROTOCOL = 1

/** Bytes one line may have; a GC list of ten thousand attachments fits. */
export const LINE_BYTES_MAX = 4 * 1024 * 1024

export interface CniRequest {
  readonly protocol: typeof PROTOCOL
  readonly args: CniArgs
  /** The network configuration as it came on standard input. */
  readonly config: Readonly<Record<string, unknown>>
}

export interface CniResponse {
  readonly protocol: typeof PROTOCOL
  /** What the plugin prints; undefined prints nothing. */
  readonly output?: Readonly<Record<string, unknown>>
  readonly isError: boolean
}

export function decodeRequest(line: string): CniRequest {
  const value = parseLine(line)
  if (!isRecord(value['args'])) throw new DecodeError('args', value['args'], 'a JSON object')
  if (!isRecord(value['config'])) throw new DecodeError('config', value['config'], 'a JSON object')
  return value as unknown as CniRequest
}

export function decodeResponse(line: string): CniResponse {
  const value = parseLine(line)
  if (typeof value['isError'] !== 'boolean')
    throw new DecodeError('isError', value['isError'], 'true or false')
  return value as unknown as CniResponse
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw new DecodeError('line', line, 'a JSON object', { cause })
  }
  if (!isRecord(value)) throw new DecodeError('line', value, 'a JSON object')
  if (value['protocol'] !== PROTOCOL)
    throw new DecodeError('protocol', value['protocol'], String(PROTOCOL))
  return value
}
