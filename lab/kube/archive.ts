// Packs a list of entries over existing layers into an image of ours. The cache keeps it under a hash of its
// contents.
import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { ensureProduct, type Say } from '../go-build.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import { toLayer, writeDockerArchive, type Image, type ImageStart } from './docker-archive.ts'
import { layOut, type Entry } from './entries.ts'
import { packLayer } from './layer.ts'

/** Increase this when the same entries are packed in another way. */
const FORMAT = 1

export interface ImagePlan {
  /** With its tag. */
  readonly name: string
  /** Files whose paths name their content. */
  readonly bases: readonly string[]
  /** The entries above them; none: no layer. */
  readonly entries: readonly Entry[]
  readonly start: ImageStart
}

export async function ensureImage(plan: ImagePlan, say: Say): Promise<Image> {
  const { name } = plan
  const label = name.slice(name.lastIndexOf('/') + 1).replace(':', '-')
  const make = async (temporary: string): Promise<void> => makeImage(plan, temporary)
  const product = { name: `${label}.tar`, why: 'is an image that the cluster runs', make }
  return { name, file: await ensureProduct(product, [await toCause(plan)], say) }
}

/** Files count by size and time, which a build changes. Reading a gigabyte each time would take seconds. */
async function toCause({ name, bases, entries, start }: ImagePlan): Promise<string> {
  const files: string[] = []
  for (const { of } of entries)
    if (typeof of === 'object' && 'file' in of) {
      const { size, mtimeMs } = await stat(of.file)
      files.push(`${of.file} ${size} ${mtimeMs}`)
    }
  return JSON.stringify([FORMAT, name, start, bases, entries, files])
}

async function makeImage(
  { name, bases, entries, start }: ImagePlan,
  target: string,
): Promise<void> {
  await using folder = await newTemporaryFolder('image')
  const layers = [...bases]
  if (entries.length > 0) {
    const [content, layer] = [join(folder.path, 'content'), join(folder.path, 'layer.tar')]
    await mkdir(content)
    await layOut(content, entries)
    await packLayer(content, layer)
    layers.push(layer)
  }
  await writeDockerArchive(target, name, start, await Promise.all(layers.map(toLayer)))
}
