// The one way by which text of others becomes part of a path: as the name of a file in a folder of ours.
import { DecodeError } from './errors.ts'
import { sha256Hex } from './hash.ts'

/** NAME_MAX of Linux. */
const NAME_BYTES_MAX = 255

/** What a writer puts behind the name of a file that is not whole yet. */
const TEMPORARY_BYTES_MAX = '.4194304-0123456789ab.tmp'.length

/** A document's file in ASCII; for a name that leaves no room for a writer's own file beside it a shorter one, with its hash. */
export function toDocumentFile(name: string, suffix: string): string {
  const most = NAME_BYTES_MAX - TEMPORARY_BYTES_MAX - suffix.length
  return name.length <= most ? `${name}${suffix}` : `${sha256Hex(name)}${suffix}`
}

/** Throws DecodeError for a name that leads anywhere else, or that no file can have. */
export function toPathBelow(folder: string, name: string): string {
  const isName = name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)
  if (isName && Buffer.byteLength(name) <= NAME_BYTES_MAX) return `${folder}/${name}`
  throw new DecodeError('file name', name, `one of at most ${NAME_BYTES_MAX} bytes, without "/"`)
}
