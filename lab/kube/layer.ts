// A layer of an image: a tar of a folder, with the same bytes wherever and whenever it is packed.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

import { run } from '../../kernel/run.ts'

/** Of every file in every image: 2026-01-01, in seconds. */
export const IMAGE_TIME = 1_767_225_600

const PACK_MS = 10 * 60_000

// The options of GNU tar's manual, "Reproducibility". Access and change times are PAX headers, and so are
// capabilities, which have to stay.
const REPRODUCIBLE = [
  '--sort=name',
  `--mtime=@${IMAGE_TIME}`,
  '--numeric-owner',
  '--format=posix',
  '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
  '--xattrs',
  '--xattrs-include=security.capability',
]

/** Folders that a container runtime mounts over anyway. */
const MOUNTED = ['./dev/*', './proc/*', './sys/*']

/** Packs the folder's contents, with their owners, modes and capabilities. */
export async function packLayer(folder: string, target: string): Promise<void> {
  const excludes = MOUNTED.map((pattern) => `--exclude=${pattern}`)
  const argv = ['tar', '-C', folder, ...REPRODUCIBLE, ...excludes, '-cf', target, '.']
  await run(argv, { timeoutMs: PACK_MS })
}

/** Unpacks a layer into a folder, after the layers below it. */
export async function unpackLayer(layer: string, folder: string): Promise<void> {
  const argv = ['tar', '-C', folder, '--numeric-owner', '--same-owner', '-p', '--xattrs']
  await run([...argv, '--xattrs-include=*', '-xf', layer], { timeoutMs: PACK_MS })
}

/** Its SHA-256 in hexadecimal. */
export async function toDigest(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash)
  return hash.digest('hex')
}
