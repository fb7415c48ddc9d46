// The CNI plugin as an image carries it: compressed, beside a note of the size and the SHA-256 of what is
// inside (build/pack.ts). Both are checked before the plugin gets its name on the node.
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress } from 'node:zlib'

import { DecodeError } from '../../core/errors.ts'
import { number, object, parseJson, text } from '../../core/shape.ts'

export interface PackedPlugin {
  /** The compressed file. */
  readonly path: string
  readonly size: number
  readonly sha256: string
}

const decodeNote = object<Omit<PackedPlugin, 'path'>>({ size: number, sha256: text })

/** Undefined where the folder has no packed plugin of this name. Throws DecodeError for a note that says something else. */
export async function findPackedPlugin(path: string): Promise<PackedPlugin | undefined> {
  const note = `${path}.json`
  let json: string
  try {
    json = await readFile(note, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const { size, sha256 } = decodeNote(parseJson(json, note, 'JSON'), `${note}: `)
  return { path: `${path}.zst`, size, sha256 }
}

/** Whether the file holds what the packed one does. */
export async function isUnpacked(packed: PackedPlugin, file: string): Promise<boolean> {
  const size = await stat(file).then(
    (stats) => stats.size,
    () => undefined,
  )
  if (size !== packed.size) return false
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex') === packed.sha256
}

/** Writes a file that must not be there yet. Throws DecodeError when it holds something else than the note says. */
export async function unpackPlugin(packed: PackedPlugin, target: string): Promise<void> {
  const hash = createHash('sha256')
  let size = 0
  const watch = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk)
      size += chunk.length
      // Somebody else's file may unpack without end.
      if (size > packed.size)
        done(new DecodeError(packed.path, 'more', `${packed.size} bytes inside`))
      else done(null, chunk)
    },
  })
  const source = createReadStream(packed.path)
  await pipeline(source, createZstdDecompress(), watch, createWriteStream(target, { flags: 'wx' }))
  const found = { size, sha256: hash.digest('hex') }
  if (size !== packed.size || found.sha256 !== packed.sha256)
    throw new DecodeError(
      packed.path,
      found,
      `${packed.size} bytes inside of SHA-256 ${packed.sha256}`,
    )
}
