// Where the lab keeps what is slow to make. Git ignores it, and it may be deleted at any time.
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const LAB_DIRECTORY = fileURLToPath(new URL('../.lab', import.meta.url))

/**
 * Makes a directory below LAB_DIRECTORY appear whole or not at all; what is there is left as it is.
 * Two processes may ask at once: the first to finish wins.
 */
export async function ensureDirectory(
  target: string,
  fill: (directory: string) => Promise<void>,
): Promise<void> {
  if (await exists(target)) return
  await mkdir(LAB_DIRECTORY, { recursive: true })
  const temporary = await mkdtemp(path.join(LAB_DIRECTORY, 'tmp-'))
  try {
    await fill(temporary)
    await rename(temporary, target)
  } catch (error) {
    // Another process was faster; what it made is the same.
    if (!(await exists(target))) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
