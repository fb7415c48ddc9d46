// JSON objects, from whoever wrote them.

export type Record_ = Readonly<Record<string, unknown>>

export function isRecord(value: unknown): value is Record_ {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
