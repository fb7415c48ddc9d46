// The cluster's programs under their own names in one folder. Nodes run them from there, and users of the
// cluster have them on PATH.
import { copyFile, link, mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { BIN } from './state.ts'

/** Files by their new names. */
export async function putOnPath(files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(BIN, { recursive: true })
  for (const [name, file] of Object.entries(files)) {
    const target = join(BIN, name)
    if (await isSame(file, target)) continue
    // Processes of the old file keep running.
    const fresh = `${target}.new`
    await rm(fresh, { force: true })
    // A cache on another file system cannot be linked to.
    await link(file, fresh).catch(async () => copyFile(file, fresh))
    await rename(fresh, target)
  }
}

async function isSame(file: string, target: string): Promise<boolean> {
  const there = await stat(target).catch(() => undefined)
  const { ino, size, mtimeMs } = await stat(file)
  return there?.ino === ino || (there?.size === size && there.mtimeMs > mtimeMs)
}
