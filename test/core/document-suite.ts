// What holds for each document that is decoded whole: a sample passes as it is, and any of its fields that is
// missing, or of a wrong type, is refused by name.
import { expect } from 'chai'
import fc from 'fast-check'
import { it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'

interface Document {
  /** With every key there is, those that may be absent too. */
  readonly sample: unknown
  readonly decode: (json: string) => unknown
  /** Keys that may be absent, from the document's own: "ends[0].pod". */
  readonly optional?: readonly string[]
  /** What a newer release writes beside the keys: kept unless it is said to be dropped. */
  readonly isRestDropped?: boolean
}

/** One place in a document: what is there, and the document with another value there; undefined takes the key out. */
interface Place {
  readonly path: string
  readonly value: unknown
  readonly put: (value: unknown) => unknown
}

export function testDocument({ sample, decode, optional = [], isRestDropped }: Document): void {
  const read = (document: unknown): unknown => decode(JSON.stringify(document))
  const root: Place = { path: '', value: sample, put: (value) => value }
  const places = listPlaces(root)

  it('passes as it is', () => {
    expect(read(sample)).to.deep.equal(sample)
  })
  for (const { path, value, put } of places) {
    it(`refuses a wrong ${path}`, () => {
      for (const wrong of listWrong(value)) expectRefusal(() => read(put(wrong)), path)
    })
    if (!path.endsWith(']'))
      it(`${optional.includes(path) ? 'passes' : 'is refused'} without ${path}`, () => {
        if (optional.includes(path)) expect(() => read(put(undefined))).to.not.throw()
        else expectRefusal(() => read(put(undefined)), path)
      })
  }
  it('may be of a newer release, with more keys', () => {
    for (const { value, put } of [root, ...places].filter((place) => isObject(place.value))) {
      const newer = put({ ...(value as object), newer: { a: [1] } })
      expect(read(newer)).to.deep.equal(isRestDropped === true ? sample : newer)
    }
  })
  it('is decoded or refused, whatever stands in it', () => {
    const values = fc.oneof(fc.jsonValue(), fc.constant(undefined))
    fc.assert(
      fc.property(fc.constantFrom(root, ...places), values, ({ put }, value) => {
        try {
          read(put(value) ?? null)
        } catch (error) {
          expect(error).to.be.instanceOf(DecodeError)
        }
      }),
    )
  })
}

function listPlaces({ path, value, put }: Place): readonly Place[] {
  const children: readonly Place[] = Array.isArray(value)
    ? value.map((element: unknown, at) => ({
        path: `${path}[${at}]`,
        value: element,
        put: (other) => put(value.with(at, other)),
      }))
    : Object.entries(isObject(value) ? value : {}).map(([key, element]) => ({
        path: path === '' ? key : `${path}.${key}`,
        value: element,
        put: (other) => put({ ...(value as object), [key]: other }),
      }))
  return children.flatMap((child) => [child, ...listPlaces(child)])
}

/** Of every type of JSON but the value's own; null may stand for anything that is not there. */
function listWrong(value: unknown): readonly unknown[] {
  const all: readonly unknown[] = ['?', -0.5, true, [null], {}]
  return value === null ? [-0.5] : all.filter((one) => getType(one) !== getType(value))
}

function getType(value: unknown): string {
  return Array.isArray(value) ? 'list' : typeof value
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function expectRefusal(read: () => unknown, path: string): void {
  let refusal: unknown
  try {
    read()
  } catch (error) {
    refusal = error
  }
  expect(refusal, path).to.be.instanceOf(DecodeError)
  const named = refusal instanceof DecodeError ? refusal.path.replaceAll(': ', '.') : ''
  const end = path.startsWith('[') ? path : `.${path}`
  expect(`.${named}`.endsWith(end), `${named}, expected ${path}`).to.equal(true)
}
