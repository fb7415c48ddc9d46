// What shim and agent say to each other over the unix socket: one JSON line each way, and on an ADD
// with "ipam" two more in between: the agent asks for what the IPAM plugin gives.
import { decodeEnv, type CniArgs } from './cni/env.ts'
import { isRecord } from './record.ts'
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

/** Milliseconds an IPAM plugin may take. With all else below the 90 s after which runtimes give up. */
export const IPAM_MS = 60_000

/** The agent's question in the middle of an ADD. The interface is there, and its wire where it has a far end. */
export interface IpamQuestion {
  readonly protocol: typeof PROTOCOL
  readonly question: 'ipam'
}

export const IPAM_QUESTION: IpamQuestion = { protocol: PROTOCOL, question: 'ipam' }

/** What the IPAM plugin printed, or why it gave nothing. */
export type IpamAnswer = { readonly protocol: typeof PROTOCOL } & (
  { readonly result: Readonly<Record<string, unknown>> } | { readonly error: IpamFailure }
)

interface IpamFailure {
  readonly code: number
  readonly message: string
  readonly details?: string
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

/** Whether the agent asks, before it answers. Throws DecodeError. */
export function isIpamQuestion(line: string): boolean {
  return parseLine(line)['question'] === IPAM_QUESTION.question
}

export function decodeResponse(line: string): CniResponse {
  const value = parseLine(line)
  if (typeof value['isError'] !== 'boolean')
    throw new DecodeError('isError', value['isError'], 'true or false')
  return value as unknown as CniResponse
}

/** Throws DecodeError. */
export function decodeIpamAnswer(line: string): IpamAnswer {
  const { result, error } = parseLine(line)
  if (isRecord(result)) return { protocol: PROTOCOL, result }
  if (!isRecord(error)) throw new DecodeError('result', result, 'a JSON object')
  const { code, message, details } = error
  if (typeof code !== 'number' || typeof message !== 'string')
    throw new DecodeError('error', error, 'a code and a message')
  const more = typeof details === 'string' ? { details } : {}
  return { protocol: PROTOCOL, error: { code, message, ...more } }
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
