// What documents are made of, as decoders that compose. object() takes one for each key of an interface: a key
// without decoder, or with one of another type, does not compile.
import { DecodeError } from './errors.ts'
import { isRecord, type Record_ } from './record.ts'

/**
 * What a value of JSON is. Throws DecodeError, with the path of the field at fault behind the given one: a document's
 * own path ends in ": ", where it has one.
 */
export type Decode<T> = (value: unknown, path: string) => T

/** Of a key that may be absent: it stays so, or gets a value. */
type DecodeAbsent<T> = Decode<T> & { readonly isLeftOut: boolean }

export type Fields<T> = {
  readonly [K in keyof T]-?: object extends Pick<T, K> ? DecodeAbsent<T[K]> : Decode<T[K]>
}

export function is<T>(test: (value: unknown) => value is T, expected: string): Decode<T> {
  return (value, path) => {
    if (test(value)) return value
    throw new DecodeError(path.replace(/: $/, ''), value, expected)
  }
}

export const text = is((value) => typeof value === 'string', 'text')
export const number = is((value) => typeof value === 'number', 'a number')
export const flag = is((value) => typeof value === 'boolean', 'true or false')
export const record: Decode<Record_> = is(isRecord, 'a JSON object')
const array = is((value): value is readonly unknown[] => Array.isArray(value), 'a list')

export function whole(min: number, max: number, expected: string): Decode<number> {
  return is(
    (value): value is number =>
      Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
    expected,
  )
}

export function oneOf<const T>(...values: readonly T[]): Decode<T> {
  const expected = values.length === 1 ? JSON.stringify(values[0]) : `one of ${values.join(', ')}`
  return is((value): value is T => (values as readonly unknown[]).includes(value), expected)
}

export function list<T>(decode: Decode<T>): Decode<readonly T[]> {
  return (value, path) => array(value, path).map((one, at) => decode(one, `${path}[${at}]`))
}

export function nullable<T>(decode: Decode<T>): Decode<T | null> {
  return (value, path) => (value === null ? null : decode(value, path))
}

/** A key that is absent stays so. */
export function optional<T>(decode: Decode<T>): DecodeAbsent<T | undefined> {
  return Object.assign(orElse(decode, undefined), { isLeftOut: true })
}

/** A key that is absent gets a value. */
export function orElse<T, F>(decode: Decode<T>, fallback: F): DecodeAbsent<T | F> {
  const orFallback: Decode<T | F> = (value, path) =>
    value === undefined ? fallback : decode(value, path)
  return Object.assign(orFallback, { isLeftOut: false })
}

/** One decoder for several keys. */
export function each<D, K extends string>(decode: D, ...keys: readonly K[]): Record<K, D> {
  return Object.fromEntries(keys.map((key) => [key, decode])) as Record<K, D>
}

/** What a newer release has beside the fields is left out. */
export function known<T>(fields: Fields<T>): Decode<T> {
  return decodeFields(fields, () => ({}))
}

/** What a newer release has beside the fields is kept. */
export function object<T>(fields: Fields<T>): Decode<T> {
  return decodeFields(fields, (owner) => ({ ...owner }))
}

function decodeFields<T>(
  fields: Fields<T>,
  start: (owner: Record_) => Record<string, unknown>,
): Decode<T> {
  const entries = Object.entries<Decode<unknown> | DecodeAbsent<unknown>>(fields)
  return (value, path) => {
    const owner = record(value, path)
    const prefix = path === '' || path.endsWith(' ') ? path : `${path}.`
    const decoded = start(owner)
    for (const [key, decode] of entries) {
      const isLeftOut = owner[key] === undefined && 'isLeftOut' in decode && decode.isLeftOut
      if (!isLeftOut) decoded[key] = decode(owner[key], `${prefix}${key}`)
    }
    // The one place where the compiler takes our word: Fields<T> has a decoder for each key of T.
    return decoded as T
  }
}

/** Throws DecodeError. */
export function parseJson(json: string, path: string, expected: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new DecodeError(path, json, expected, { cause })
  }
}
