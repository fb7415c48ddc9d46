// Image archives in the format of "docker save", which "ctr images import" reads: a manifest, a configuration,
// and a tar per layer. No npm library writes them. Debian's umoci and buildah need a store of their own, for
// two JSON files beside the layers.
import { writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import { IMAGE_TIME, toDigest } from './layer.ts'

/** An archive that "ctr images import" reads. */
export interface Image {
  /** With its tag. */
  readonly name: string
  readonly file: string
  /** Other names of it on a node, of images that it stands for; with tags. */
  readonly otherNames?: readonly string[]
}

/** How containers of the image start. */
export interface ImageStart {
  readonly entrypoint: readonly string[]
  /** As "USER" of a Dockerfile; default: root. */
  readonly user?: string
  readonly env?: Readonly<Record<string, string>>
}

/** A layer's file and what it hashes to. */
export interface Layer {
  readonly file: string
  readonly digest: string
}

const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' } as const
const ARCHIVE_MS = 10 * 60_000

export async function toLayer(file: string): Promise<Layer> {
  return { file, digest: await toDigest(file) }
}

/** The image's configuration: OCI's "image-spec/config.md", which Docker's is a superset of. */
export function renderConfig(start: ImageStart, layers: readonly Layer[]): string {
  const created = new Date(IMAGE_TIME * 1000).toISOString()
  return JSON.stringify({
    architecture: toArchitecture(process.arch),
    os: 'linux',
    created,
    config: {
      User: start.user ?? '',
      Entrypoint: start.entrypoint,
      Env: Object.entries(start.env ?? {}).map(([name, value]) => `${name}=${value}`),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
    history: layers.map(() => ({ created, created_by: 'l2wire' })),
  })
}

/** A machine's architecture as Go and images name it. */
export function toArchitecture(machine: string): string {
  const known = Object.entries(ARCHITECTURES).find(([name]) => name === machine)
  if (known !== undefined) return known[1]
  throw new Error(`Cannot make images for "${machine}", expected x64 or arm64`)
}

export function renderManifest(name: string, layers: readonly Layer[]): string {
  const Layers = layers.map(({ file }) => basename(file))
  return JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers }])
}

/** Layers lie over one another in this order. Their files have distinct names. */
export async function writeDockerArchive(
  target: string,
  name: string,
  start: ImageStart,
  layers: readonly Layer[],
): Promise<void> {
  await using folder = await newTemporaryFolder('archive')
  await writeFile(join(folder.path, 'config.json'), renderConfig(start, layers))
  await writeFile(join(folder.path, 'manifest.json'), renderManifest(name, layers))
  const own = ['-C', folder.path, 'manifest.json', 'config.json']
  const others = layers.flatMap(({ file }) => ['-C', dirname(file), basename(file)])
  const same = [
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=0644',
    `--mtime=@${IMAGE_TIME}`,
  ]
  await run(['tar', ...same, '-cf', target, ...own, ...others], { timeoutMs: ARCHIVE_MS })
}
