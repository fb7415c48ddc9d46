// Writes a file completely before it gets the name that readers know.
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CNI_CODE, CniError } from '../core/errors.ts'

/** The size of a large document, and at least one block of a disk. */
const PROOF = `${' '.repeat(4095)}\n`

/**
 * Whether a folder has room for one more document. Writes one and removes it again, without waiting for the
 * disk. Throws CniError 5, with the same message as a real write.
 */
export async function proveRoom(folder: string): Promise<void> {
  const path = toTemporaryName(join(folder, 'proof'))
  await writeNewFile(path, PROOF, folder)
  await rm(path, { force: true })
}

/** A name beside the path that no other writer uses and that no reader takes for a document. */
export function toTemporaryName(path: string): string {
  return `${path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`
}

/**
 * Throws CniError 5 with the path, or with the text in its place. For a full disk Node itself reports only that
 * it is full.
 */
export async function writeNewFile(path: string, text: string, said = path): Promise<void> {
  try {
    // Exclusive creation also follows no link.
    await writeFile(path, text, { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    await rm(path, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    // The caller that makes the folder first tries again.
    if (code === 'ENOENT') throw cause
    throw new CniError(
      CNI_CODE.IO_FAILURE,
      `Cannot write "${said}": the system said ${code ?? 'nothing'}`,
      { cause },
    )
  }
}
