// What shim and agent say to each other over the unix socket: one JSON line each way.
import { decodeEnv, type CniArgs } from './cni/env.ts'
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

/** Throws DecodeError, or CniError 4 for arguments the plugin itself would have refused. */
export function decodeRequest(line: string): CniRequest {
  const value = parseLine(line)
  const { args, config } = value
  if (!isRecord(args)) throw new DecodeError('args', args, 'a JSON object')
  if (!isRecord(config)) throw new DecodeError('config', config, 'a JSON object')
  return { protocol: PROTOCOL, args: decodeEnv(toEnv(args)), config }
}

// Whoever writes to the socket is held to the same table as the environment of the plugin.
function toEnv(args: Readonly<Record<string, unknown>>): Record<string, string | undefined> {
  const read = (key: keyof CniArgs): string | undefined =>
    typeof args[key] === 'string' ? args[key] : undefined
  return {
    CNI_COMMAND: read('command'),
    CNI_CONTAINERID: read('containerID'),
    CNI_NETNS: read('netns'),
    CNI_IFNAME: read('ifname'),
    CNI_ARGS: read('args'),
    CNI_PATH: read('path'),
  }
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
