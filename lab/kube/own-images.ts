// l2wire's own two images, made by deploy/images/Dockerfile from the results of "make build" in dist/.
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { NotSupportedError } from '../../core/errors.ts'
import { ensureProduct, exists, type Say } from '../go-build.ts'
import { readManifest, ROOT, type Manifest } from '../manifests.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import { toLayer, writeDockerArchive, type Image } from './docker-archive.ts'
import { getStage, parseDockerfile, readStart } from './dockerfile.ts'
import { makeStage, type StageSource } from './dockerfile-stage.ts'
import { packLayer, toDigest } from './layer.ts'

export const OWN_IMAGES = ['agent', 'sidecar'] as const
export const DOCKERFILE = 'deploy/images/Dockerfile'
/** Sources of the images beside the build results. */
const SOURCES = [DOCKERFILE, 'deploy/images/keep.sh', 'build/pack.ts', 'LICENSE']
const PACK_MS = 15 * 60_000

export async function ensureOwnImages(say: Say): Promise<readonly Image[]> {
  const dockerfile = parseDockerfile(await readFile(join(ROOT, DOCKERFILE), 'utf8'))
  const version = await readImageVersion()
  const causes = [version, ...(await listCauses())]
  const images: Image[] = []
  for (const stage of OWN_IMAGES) {
    const name = `ghcr.io/l2wire/${stage}:${version}`
    const make = async (temporary: string): Promise<void> => {
      await ensurePacked()
      await makeOwnImage({ dockerfile, checkout: ROOT }, stage, name, temporary, say)
    }
    const product = { name: `l2wire-${stage}.tar`, why: 'is an image of this checkout', make }
    images.push({ name, file: await ensureProduct(product, causes, say) })
  }
  return images
}

export async function makeOwnImage(
  source: StageSource,
  stage: string,
  name: string,
  target: string,
  say: Say,
): Promise<void> {
  await using folder = await newTemporaryFolder('image')
  const [content, layer] = [join(folder.path, 'content'), join(folder.path, 'layer.tar')]
  await mkdir(content)
  await makeStage(source, stage, content, say)
  await packLayer(content, layer)
  const start = readStart(getStage(source.dockerfile, stage))
  await writeDockerArchive(target, name, start, [await toLayer(layer)])
}

async function readImageVersion(): Promise<string> {
  const { images } = await readManifest('deploy/base/kustomization.yaml')
  return String((images as readonly Manifest[])[0]?.['newTag'])
}

/** All inputs. The Debian root below counts by its list of packages, which is in the Dockerfile. */
async function listCauses(): Promise<readonly string[]> {
  const files = [...SOURCES, 'node_modules/.bin/node']
  for (const folder of ['dist/bin', 'dist/lib']) {
    if (!(await exists(join(ROOT, folder))))
      throw new NotSupportedError(
        `Cannot make images: there is no ${folder}; run "make build" first`,
      )
    files.push(...(await readdir(join(ROOT, folder))).sort().map((file) => join(folder, file)))
  }
  return Promise.all(files.map(async (file) => `${file} ${await toDigest(join(ROOT, file))}\n`))
}

/** Made from dist/bin. "make build" makes that again together with all of dist. */
async function ensurePacked(): Promise<void> {
  if (await exists(join(ROOT, 'dist/image/l2wire.json'))) return
  const pack = promisify(execFile)
  await pack(process.execPath, [join(ROOT, 'build/pack.ts')], { timeout: PACK_MS })
}
