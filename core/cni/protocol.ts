// What shim and agent say to each other over the unix socket: one JSON line each way, and on an ADD
// with "ipam" two more in between: the agent asks for what the IPAM plugin gives.
import { decodeEnv, type CniArgs } from './env.ts'
import { isRecord } from '../record.ts'
import { CNI_CODE, CniError, DecodeError } from '../errors.ts'
import { flag, object, oneOf, optional, parseJson, record } from '../shape.ts'

export const PROTOCOL = 1

/**
 * What is asked beside CNI's verbs: whether the agent works, whatever it waits for; what of its node is other than it
 * should be; what it has of one wire.
 */
export type Question =
  | { readonly question: 'alive' | 'node' }
  | {
      readonly question: 'wire'
      readonly wire: { readonly namespace: string; readonly name: string }
    }

/** A line without its end. */
export function renderQuestion(question: Question): string {
  return JSON.stringify({ protocol: PROTOCOL, ...question })
}

/** Undefined for a line that is no question, but a request. Throws DecodeError. */
export function readQuestion(line: string): Readonly<Record<string, unknown>> | undefined {
  return /^\{"protocol":\d+,"question":/.test(line) ? parseLine(line) : undefined
}

/** A link in an agent's state directory that leads to its socket. */
export const SOCKET_LINK = 'agent.sock'

/** Bytes a network configuration may have that its author writes: an object of Kubernetes holds 1.5 MB. */
export const CONFIG_BYTES_MAX = 64 * 1024

/** Bytes a line may have: a configuration, and the variables beside it. */
export const SHORT_LINE_BYTES_MAX = CONFIG_BYTES_MAX + 16 * 1024

/** Bytes the line of a GC may have, whose list a runtime writes: one of ten thousand attachments fits. */
export const LINE_BYTES_MAX = 4 * 1024 * 1024

/** Bytes the configuration of a GC may have, with its list. */
export const GC_BYTES_MAX = LINE_BYTES_MAX / 2

/** Whether a line is a GC, from how it begins: what a tenant may have written stands behind that. */
export function isGcLine(beginning: string): boolean {
  return /^\{"protocol":\d+,"args":\{"command":"GC"/.test(beginning)
}

/** Before a line is decoded, which takes many times its size. Throws CniError 6. */
export function expectShortConfig(line: string): void {
  if (isGcLine(line)) return
  // It stands last, before a brace; no text before it has unescaped quotes.
  const key = '"config":'
  const bytes = Buffer.byteLength(line.slice(line.indexOf(key) + key.length)) - 1
  if (bytes > CONFIG_BYTES_MAX)
    throw new CniError(
      CNI_CODE.DECODING_FAILURE,
      `Cannot decode the network configuration: it has ${bytes} bytes, expected at most ${CONFIG_BYTES_MAX}`,
    )
}

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

/** A request, an answer or a question, as it goes over the socket. */
export function renderLine(value: object): string {
  return `${JSON.stringify(value)}\n`
}

/** Throws DecodeError, or CniError 4 for arguments the plugin itself would have refused. */
export function decodeRequest(line: string): CniRequest {
  const value = parseLine(line)
  const args = record(value['args'], 'args')
  const config = record(value['config'], 'config')
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

const decodeFields = object<CniResponse>({
  protocol: oneOf(PROTOCOL),
  output: optional(record),
  isError: flag,
})

/** Throws DecodeError. */
export function decodeResponse(line: string): CniResponse {
  return decodeFields(parseLine(line), '')
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
  const value = record(parseJson(line, 'line', 'a JSON object'), 'line')
  oneOf(PROTOCOL)(value['protocol'], 'protocol')
  return value
}
