// One JSON document per file. Readers see a whole document or none; writers rename it into place.
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { parseJson } from '../core/shape.ts'
import { replaceAtomically } from '../kernel/replace-atomically.ts'
import { toTemporaryName, writeNewFile } from './new-file.ts'

/** The document, or undefined if there is no such file. Throws DecodeError if it is not JSON. */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  return parseJson(text, path, 'a JSON document')
}

/** Replaces the document. A reader sees the old one or the new one. Makes the folder if needed. */
export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  await replaceAtomically(path, toTemporaryName(path), async (temporary) =>
    writeInFolder(temporary, `${JSON.stringify(value, undefined, 2)}\n`),
  )
}

/** Removes the files that killed writers have left in a folder. */
export async function sweepTemporaryFiles(folder: string): Promise<void> {
  for (const file of await listFolder(folder)) {
    const pid = /\.(\d+)-[0-9a-f]+\.tmp$/.exec(file)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(join(folder, file), { force: true })
  }
}

/** The files of a folder, sorted; none if there is no such folder. */
export async function listFolder(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function writeInFolder(path: string, text: string): Promise<void> {
  try {
    await writeNewFile(path, text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeNewFile(path, text)
  }
}
