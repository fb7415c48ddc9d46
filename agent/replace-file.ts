// Replaces a file that others may open at any moment: each name leads to a whole file at every instant,
// and what has the old one open keeps it.
import { constants, type Stats } from 'node:fs'
import { copyFile, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Names of our own half-made files, of which a killed predecessor may have left some. */
const TEMPORARY = /^\.l2wire-install-/

/** A name in the same folder that nobody else uses. */
export function toTemporaryPath(target: string): string {
  return join(dirname(target), `.l2wire-install-${process.pid}`)
}

export async function sweepTemporaries(folder: string): Promise<void> {
  for (const file of await readdir(folder)) if (TEMPORARY.test(file)) await rm(join(folder, file))
}

/** Says whether it had to. check sees the new file before anybody else does, and may throw. */
export async function replaceFile(
  source: string,
  target: string,
  mode: number,
  check: (path: string) => Promise<void> = async () => undefined,
): Promise<boolean> {
  if (await isSameContent(source, target)) return false
  const temporary = toTemporaryPath(target)
  try {
    await copyDurably(source, temporary, mode)
    await check(temporary)
    await rename(temporary, target)
  } finally {
    await rm(temporary, { force: true })
  }
  return true
}

export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = [await readStats(one), await readStats(other)]
  return first !== undefined && first.ino === second?.ino && first.dev === second.dev
}

async function copyDurably(source: string, target: string, mode: number): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_EXCL)
  const file = await open(target, 'r+')
  try {
    await file.chmod(mode)
    // A power cut after the rename must not leave an empty file behind the name.
    await file.sync()
  } finally {
    await file.close()
  }
}

async function isSameContent(one: string, other: string): Promise<boolean> {
  const [first, second] = [await readStats(one), await readStats(other)]
  if (first === undefined || first.size !== second?.size) return false
  return (await readFile(one)).equals(await readFile(other))
}

async function readStats(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
