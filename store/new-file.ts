// A file that is there whole or not at all, before it gets the name that readers know.
import { rm, writeFile } from 'node:fs/promises'

import { CNI_CODE, CniError } from '../core/errors.ts'

/** Throws CniError 5 with the path: of a full disk Node itself says no more than that it is full. */
export async function writeNewFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { mode: 0o600 })
  } catch (cause) {
    await rm(path, { force: true })
    const { code } = cause as NodeJS.ErrnoException
    // Whoever makes the folder first tries again.
    if (code === 'ENOENT') throw cause
    throw new CniError(
      CNI_CODE.IO_FAILURE,
      `Cannot write "${path}": the system said ${code ?? 'nothing'}`,
      { cause },
    )
  }
}
