// A file, a link or a device at a path, whole at every instant: who opens it gets the old one or the new one, and
// who has the old one open keeps it.
import { rename, rm } from 'node:fs/promises'

/** make puts the new one at the temporary path, which is in the same folder and nobody else's. Of one that fails nothing stays. */
export async function replaceAtomically(
  path: string,
  temporary: string,
  make: (temporary: string) => Promise<unknown>,
): Promise<void> {
  try {
    await make(temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
