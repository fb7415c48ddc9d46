// Reads JSON whose shape somebody else promises. Every refusal names the path, the value and the expected
// value. Go omits empty fields or writes null, so both count as absent.
import { DecodeError } from '../errors.ts'

/** A place in a JSON document and its value; undefined when absent. */
export interface Field {
  readonly path: string
  readonly value: unknown
}

/** The field below; absent if anything on the way is absent. */
export function at(field: Field, ...keys: readonly string[]): Field {
  return keys.reduce<Field>((parent, key) => {
    const object = asObject(parent)
    const path = parent.path === '' ? key : `${parent.path}.${key}`
    return {
      path,
      value: object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined,
    }
  }, field)
}

export function asObject(field: Field): Readonly<Record<string, unknown>> | undefined {
  if (isAbsent(field)) return undefined
  if (typeof field.value === 'object' && !Array.isArray(field.value)) {
    return field.value as Record<string, unknown>
  }
  throw new DecodeError(field.path, field.value, 'an object')
}

/** The elements as fields; none when absent. */
export function asArray(field: Field): readonly Field[] {
  if (isAbsent(field)) return []
  if (!Array.isArray(field.value)) throw new DecodeError(field.path, field.value, 'an array')
  return field.value.map((value: unknown, index) => ({ path: `${field.path}[${index}]`, value }))
}

/** The text; an empty one counts as absent, as it does in Go. */
export function asString(field: Field): string | undefined {
  if (isAbsent(field) || field.value === '') return undefined
  if (typeof field.value === 'string') return field.value
  throw new DecodeError(field.path, field.value, 'a string')
}

export function getString(field: Field): string {
  const text = asString(field)
  if (text === undefined)
    throw new DecodeError(field.path, field.value, 'a string that is not empty')
  return text
}

/** Absent is false. */
export function asBoolean(field: Field): boolean {
  if (isAbsent(field)) return false
  if (typeof field.value === 'boolean') return field.value
  throw new DecodeError(field.path, field.value, 'true or false')
}

/** A whole number within the bounds; 0 counts as absent, as it does in Go. */
export function asCount(field: Field, max: number): number | undefined {
  if (isAbsent(field) || field.value === 0) return undefined
  const { value } = field
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= max)
    return value
  throw new DecodeError(field.path, value, `a whole number from 1 to ${max}`)
}

export function isAbsent(field: Field): boolean {
  return field.value === undefined || field.value === null
}
