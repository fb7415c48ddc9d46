// Every image that the cluster runs: KubeVirt's, l2wire's, and what tests run in pods and VMs.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { ensureProduct, type Say } from '../go-build.ts'
import { ensureImage } from './archive.ts'
import { ensureDebianRoot } from './debian-root.ts'
import type { Image } from './docker-archive.ts'
import type { Entry } from './entries.ts'
import { CONTAINER_IMAGES, ensureSystemImage, listDaemonFolders } from './example-images.ts'
import { ensureClusterGuest } from './guest.ts'
import { planKubevirtImages, toImageName, type KubevirtImage } from './kubevirt-images.ts'
import { ensureOwnImages } from './own-images.ts'
import type { KubevirtBuild } from './programs.ts'
import { ROOTS } from './roots.ts'

export type { Image } from './docker-archive.ts'

export const GUEST_IMAGE = 'l2w.lab/guest:1'
export const TOOLS_IMAGE = 'l2w.lab/tools:1'
export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10'

const LAUNCHER = 'cmd/virt-launcher'
const PAUSE_SOURCE = join(import.meta.dirname, 'pause.c')
/** The user as which KubeVirt runs containers of disks and kernels. */
const QEMU = 107

/** Made once. Later calls only check that nothing changed. */
export async function ensureImages(build: KubevirtBuild, say: Say): Promise<readonly Image[]> {
  const images = [
    await ensurePause(say),
    await ensureTools(say),
    await ensureGuest(say),
    await ensureSystemImage(say),
    ...(await ensureKubevirtImages(build, say)),
  ]
  return [...images, ...(await ensureOwnImages(say))]
}

export async function ensureKubevirtImages(
  build: KubevirtBuild,
  say: Say,
): Promise<readonly Image[]> {
  const read = async (file: string): Promise<string> =>
    readFile(join(build.source, LAUNCHER, file), 'utf8')
  const plans = planKubevirtImages(build, {
    labeller: await read('node-labeller/node-labeller.sh'),
    user: /^ +user = "(\d+)",$/m.exec(await read('BUILD.bazel'))?.[1],
  })
  const images: Image[] = []
  for (const image of plans) {
    const bases = image.base === 'libraries' ? [] : [await ensureDebianRoot(ROOTS[image.base], say)]
    const libraries = image.base === 'libraries' ? await findLibraries(image) : []
    const entries = [...libraries, ...image.entries]
    const { start } = image
    images.push(
      await ensureImage({ name: toImageName(build, image.name), bases, entries, start }, say),
    )
  }
  return images
}

/** The libraries that the dynamic linker loads for the image's programs, from the machine that built them. */
async function findLibraries({ entries }: KubevirtImage): Promise<readonly Entry[]> {
  const programs = entries.flatMap(({ path, of }) =>
    path.startsWith('usr/bin/') && of !== 'folder' && 'file' in of ? [of.file] : [],
  )
  // It fails for statically linked programs.
  const linked = await run(['sh', '-c', 'ldd "$@" || true', 'sh', ...programs])
  const found = linked.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)
  const files = new Set([...found].map(([, file = '']) => file))
  return [...files].sort().map((file) => ({ path: file.slice(1), of: { file } }))
}

export async function ensureTools(say: Say): Promise<Image> {
  const root = await ensureDebianRoot(ROOTS.tools, say)
  const entries = await listDaemonFolders(root)
  const start = { entrypoint: ['/bin/sh'], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } }
  const image = await ensureImage({ name: TOOLS_IMAGE, bases: [root], entries, start }, say)
  return { ...image, otherNames: CONTAINER_IMAGES }
}

export async function ensureGuest(say: Say): Promise<Image> {
  const { kernel, initrd } = await ensureClusterGuest()
  const toEntry = (name: string, file: string): Entry => ({
    path: `boot/${name}`,
    of: { file },
    mode: 0o644,
    owner: QEMU,
  })
  const entries = [toEntry('vmlinuz', kernel), toEntry('initrd', initrd)]
  // KubeVirt starts its own program in it.
  const start = { entrypoint: ['/none'], user: `${QEMU}:${QEMU}` }
  return ensureImage({ name: GUEST_IMAGE, bases: [], entries, start }, say)
}

export async function ensurePause(say: Say): Promise<Image> {
  const make = async (target: string): Promise<void> => {
    await run(['gcc', '-Wall', '-Werror', '-static', '-Os', '-s', '-o', target, PAUSE_SOURCE])
  }
  const product = { name: 'pause', why: "holds a pod's namespaces", make }
  const program = await ensureProduct(product, [await readFile(PAUSE_SOURCE)], say)
  const entries: readonly Entry[] = [{ path: 'pause', of: { file: program } }]
  const start = { entrypoint: ['/pause'], user: '65535:65535' }
  return ensureImage({ name: PAUSE_IMAGE, bases: [], entries, start }, say)
}
