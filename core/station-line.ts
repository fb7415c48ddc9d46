// What a cable tester and a station on another node say to each other: a line of JSON each way, one
// request at a time.
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'

export type StationRequest =
  | { readonly op: 'nic' }
  | { readonly op: 'capture' }
  /** Ends the capture and asks for its frames. */
  | { readonly op: 'frames' }
  /** Frames as pcap, in base64. */
  | { readonly op: 'send'; readonly pcap: string }

export type StationAnswer =
  | { readonly ok: true; readonly nic?: StationNic; readonly pcap?: string }
  | { readonly ok: false; readonly fault: string }

export interface StationNic {
  readonly mac: string
  readonly mtuBytes: number
  readonly isUp: boolean
}

/** Throws DecodeError. */
export function decodeRequest(line: string): StationRequest {
  const value = parseLine(line, 'request')
  const { op, pcap } = value
  if (op === 'send' && typeof pcap !== 'string') throw new DecodeError('pcap', pcap, 'text')
  if (op === 'nic' || op === 'capture' || op === 'frames' || op === 'send')
    return value as unknown as StationRequest
  throw new DecodeError('op', op, 'one of nic, capture, frames, send')
}

/** Throws DecodeError. */
export function decodeAnswer(line: string): StationAnswer {
  const value = parseLine(line, 'answer')
  const { ok, fault } = value
  if (typeof ok !== 'boolean') throw new DecodeError('ok', ok, 'true or false')
  if (!ok && typeof fault !== 'string') throw new DecodeError('fault', fault, 'text')
  return value as unknown as StationAnswer
}

/** Throws DecodeError unless it is a JSON object. */
export function parseLine(line: string, path: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw new DecodeError(path, line, 'a line of JSON', { cause })
  }
  if (isRecord(value)) return value
  throw new DecodeError(path, value, 'a JSON object')
}
