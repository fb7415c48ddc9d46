// The protocol between a cable tester and a station on another node: a line of JSON each way, one request at a
// time.
import type { Record_ } from '../record.ts'
import { flag, number, object, oneOf, optional, parseJson, record, text } from '../shape.ts'

export type StationRequest =
  | { readonly op: 'nic' }
  | { readonly op: 'capture' }
  /** Ends the capture and asks for its frames. */
  | { readonly op: 'frames' }
  /** Frames as pcap, in base64. */
  | { readonly op: 'send'; readonly pcap: string }

export type StationAnswer =
  { readonly ok: true; readonly nic?: StationNic; readonly pcap?: string } | Refusal

export interface Refusal {
  readonly ok: false
  readonly fault: string
}

export interface StationNic {
  readonly mac: string
  readonly mtuBytes: number
  readonly isUp: boolean
}

const decodeOp = object<Pick<StationRequest, 'op'>>({
  op: oneOf('nic', 'capture', 'frames', 'send'),
})

const decodeDone = object<Extract<StationAnswer, { ok: true }>>({
  ok: oneOf(true),
  nic: optional(object<StationNic>({ mac: text, mtuBytes: number, isUp: flag })),
  pcap: optional(text),
})

/** Throws DecodeError. */
export const decodeRefusal = object<Refusal>({ ok: oneOf(false), fault: text })

/** Throws DecodeError. */
export function decodeRequest(line: string): StationRequest {
  const value = parseLine(line, 'request')
  const { op } = decodeOp(value, '')
  return op === 'send' ? { op, pcap: text(value['pcap'], 'pcap') } : { op }
}

/** Throws DecodeError. */
export function decodeAnswer(line: string): StationAnswer {
  const value = parseLine(line, 'answer')
  return flag(value['ok'], 'ok') ? decodeDone(value, '') : decodeRefusal(value, '')
}

/** Throws DecodeError unless it is a JSON object. */
export function parseLine(line: string, path: string): Record_ {
  return record(parseJson(line, path, 'a line of JSON'), path)
}
