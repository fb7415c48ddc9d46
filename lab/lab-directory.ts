// The folder for the lab's slow products. Git ignores it, and it may be deleted at any time.
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const LAB_DIRECTORY = fileURLToPath(new URL('../.lab', import.meta.url))

/**
 * Makes a directory below LAB_DIRECTORY appear complete or not at all. An existing one stays. Two processes may
 * call this at once: the first to finish wins.
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
    // Another process was faster, and its result is the same.
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
