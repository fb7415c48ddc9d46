// What the doctor and a prober on a node say to each other: a line of JSON each way, one request at a
// time.
import { isRecord } from './record.ts'
import { DecodeError } from './errors.ts'
import type { Heard, ProbeMark } from './path-probe.ts'
import { parseLine } from './station-line.ts'

export type ProberRequest =
  /** Hears from now on. */
  | ({ readonly op: 'listen' } & ProbeMark)
  /** MTU of the link that has this address. */
  | { readonly op: 'mtu'; readonly address: string }
  | ({
      readonly op: 'send'
      readonly from: string
      readonly to: string
      readonly vni: number
      readonly sizes: readonly number[]
    } & ProbeMark)
  /** What was heard up to now. */
  | { readonly op: 'heard' }

export type ProberAnswer =
  | { readonly ok: true; readonly mtuBytes?: number; readonly heard?: Heard }
  | { readonly ok: false; readonly fault: string }

const FIELDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  listen: { port: 'number', token: 'number' },
  mtu: { address: 'string' },
  send: { port: 'number', token: 'number', from: 'string', to: 'string', vni: 'number' },
  heard: {},
}

/** Throws DecodeError. */
export function decodeProberRequest(line: string): ProberRequest {
  const value = parseLine(line, 'request')
  const { op, sizes } = value
  const fields = typeof op === 'string' ? FIELDS[op] : undefined
  if (fields === undefined)
    throw new DecodeError('op', op, `one of ${Object.keys(FIELDS).join(', ')}`)
  for (const [key, type] of Object.entries(fields))
    if (typeof value[key] !== type) throw new DecodeError(key, value[key], `a ${type}`)
  const isSized = Array.isArray(sizes) && sizes.every((size: unknown) => Number.isInteger(size))
  if (op === 'send' && !isSized) throw new DecodeError('sizes', sizes, 'a list of whole numbers')
  return value as unknown as ProberRequest
}

/** Throws DecodeError. */
export function decodeProberAnswer(line: string): ProberAnswer {
  const value = parseLine(line, 'answer')
  const { ok, fault, heard } = value
  if (typeof ok !== 'boolean') throw new DecodeError('ok', ok, 'true or false')
  if (!ok && typeof fault !== 'string') throw new DecodeError('fault', fault, 'text')
  const isHeard =
    isRecord(heard) && Array.isArray(heard['whole']) && Array.isArray(heard['delivered'])
  if (heard !== undefined && !isHeard) throw new DecodeError('heard', heard, 'two lists')
  return value as unknown as ProberAnswer
}
