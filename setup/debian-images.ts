// Writes the two images without a container engine; setup/images.sh calls it.
import { copyFile, mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { ensureOwnImages, OWN_IMAGES } from '../lab/kube/own-images.ts'
import { ROOT } from '../lab/manifests.ts'

const folder = join(ROOT, 'dist/images')
const images = await ensureOwnImages((line) => process.stdout.write(`${line}\n`))
await mkdir(folder, { recursive: true })
for (const [index, { name, file }] of images.entries()) {
  const target = join(folder, `${OWN_IMAGES[index]}.tar`)
  await rm(target, { force: true })
  await copyFile(file, target)
  const { size } = await stat(target)
  process.stdout.write(`${name}: ${target}, ${Math.round(size / 1e6)} MB\n`)
}
