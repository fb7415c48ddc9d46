// The folders of examples/ as data: every object in their YAML files.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parseAllDocuments } from 'yaml'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'
import { getMapping, ROOT, type Manifest } from './manifests.ts'

export const EXAMPLES = 'examples'

/** The folders of examples/. */
export async function listExamples(): Promise<readonly string[]> {
  const entries = await readdir(join(ROOT, EXAMPLES), { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** Every object in the YAML files of an example, in the order in which kubectl applies them. */
export async function readExample(name: string): Promise<readonly Manifest[]> {
  const folder = join(ROOT, EXAMPLES, name)
  const files = (await readdir(folder)).filter((file) => file.endsWith('.yaml')).sort()
  const objects: Manifest[] = []
  for (const file of files)
    for (const document of parseAllDocuments(await readFile(join(folder, file), 'utf8'))) {
      const value: unknown = document.toJS()
      if (!isRecord(value)) throw new DecodeError(file, value, 'YAML mappings')
      objects.push(value)
    }
  return objects
}

export const getName = (object: Manifest): string => String(getMapping(object, 'metadata')['name'])

/** The objects of a kind by their names. */
export function byName(
  objects: readonly Manifest[],
  kind: string,
): Readonly<Record<string, Manifest>> {
  const found = objects.filter((object) => object['kind'] === kind)
  return Object.fromEntries(found.map((object) => [getName(object), object]))
}
