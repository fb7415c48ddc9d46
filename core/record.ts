// JSON objects, from whoever wrote them.
import { DecodeError } from './errors.ts'

export type Record_ = Readonly<Record<string, unknown>>

/** Undefined where there is none. Throws DecodeError. */
export function decodeRecord(value: unknown, path: string): Record_ | undefined {
  if (value === undefined || isRecord(value)) return value
  throw new DecodeError(path, value, 'a JSON object')
}

export function isRecord(value: unknown): value is Record_ {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
