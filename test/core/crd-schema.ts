// The schemas of deploy/base/crds, and whether an object is within one.
import { expect } from 'chai'

import { isRecord } from '../../core/record.ts'
import { readManifest } from '../../lab/manifests.ts'

export type Schema = Readonly<Record<string, unknown>>

export async function readSchema(plural: string): Promise<Schema> {
  const { spec } = await readManifest(`deploy/base/crds/${plural}.yaml`)
  const [version] = getRecord({ spec }, 'spec')['versions'] as readonly Schema[]
  return getRecord(getRecord(version ?? {}, 'schema'), 'openAPIV3Schema')
}

/** Texts of a certain look, by their paths: "spec.ends[].holder". */
export function listTexts(schema: Schema, path = ''): readonly (readonly [string, Schema])[] {
  if (schema['type'] === 'string') return [[path, schema]]
  const { items } = schema
  if (isRecord(items)) return listTexts(items, `${path}[]`)
  return Object.entries(getRecord(schema, 'properties')).flatMap(([key, value]) =>
    isRecord(value) ? listTexts(value, path === '' ? key : `${path}.${key}`) : [],
  )
}

/** Throws where a text is too long or looks otherwise, a number is out of range, or a list is too long. */
export function expectWithin(schema: Schema, value: unknown, path = ''): void {
  if (typeof value === 'string') {
    const { maxLength = Infinity, pattern = '' } = schema
    expect(value.length, path).to.be.most(Number(maxLength))
    expect(value, path).to.match(new RegExp(String(pattern)))
  }
  if (typeof value === 'number')
    expect(value, path).to.be.within(Number(schema['minimum']), Number(schema['maximum']))
  if (Array.isArray(value)) {
    expect(value.length, path).to.be.most(Number(schema['maxItems'] ?? Infinity))
    for (const one of value) expectWithin(getRecord(schema, 'items'), one, `${path}[]`)
  } else if (isRecord(value))
    for (const [key, one] of Object.entries(value))
      expectWithin(getRecord(getRecord(schema, 'properties'), key), one, `${path}.${key}`)
}

/** Of a path like "spec.ends[].mtu". */
export function findSchema(schema: Schema, path: string): Schema {
  return path
    .split(/\.|(?=\[\])/)
    .reduce<Schema>(
      (at, key) =>
        key === '[]' ? getRecord(at, 'items') : getRecord(getRecord(at, 'properties'), key),
      schema,
    )
}

function getRecord(value: Schema, key: string): Schema {
  const field = value[key]
  return isRecord(field) ? field : {}
}
