// Replaces files in folders of the node, which others may open at any moment.
import { constants, type Stats } from 'node:fs'
import { copyFile, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { replaceAtomically } from '../../kernel/replace-atomically.ts'

/** Names of our own half-made files: a killed predecessor may have left some, and its pid, a container's, tells nothing. */
const TEMPORARY = /^\.l2wire-install-/

/** A name in the same folder that nobody else uses. */
export function toTemporaryPath(target: string): string {
  return join(dirname(target), `.l2wire-install-${process.pid}`)
}

export async function sweepTemporaries(folder: string): Promise<void> {
  for (const file of await readdir(folder)) if (TEMPORARY.test(file)) await rm(join(folder, file))
}

/** Says whether it had to. */
export async function replaceFile(source: string, target: string, mode: number): Promise<boolean> {
  const write = async (temporary: string): Promise<void> =>
    copyFile(source, temporary, constants.COPYFILE_EXCL)
  if (await isSameContent(source, target)) return false
  await replaceContent(write, target, mode)
  return true
}

/** write makes the new file; check sees it before anybody else does. Both may throw. */
export async function replaceContent(
  write: (temporary: string) => Promise<void>,
  target: string,
  mode: number,
  check: (path: string) => Promise<void> = async () => undefined,
): Promise<void> {
  await replaceAtomically(target, toTemporaryPath(target), async (temporary) => {
    await write(temporary)
    await finish(temporary, mode)
    await check(temporary)
  })
}

/** As replaceFile, with a text instead of another file. */
export async function replaceText(text: string, target: string, mode: number): Promise<void> {
  const write = async (temporary: string): Promise<void> =>
    writeFile(temporary, text, { flag: 'wx' })
  await replaceContent(write, target, mode)
}

export async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = [await readStats(one), await readStats(other)]
  return first !== undefined && first.ino === second?.ino && first.dev === second.dev
}

async function finish(path: string, mode: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.chmod(mode)
    // A power cut after the rename must not leave an empty file behind the name.
    await file.sync()
  } finally {
    await file.close()
  }
}

export async function isSameContent(one: string, other: string): Promise<boolean> {
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
