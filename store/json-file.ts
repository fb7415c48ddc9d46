// One JSON document per file: read whole or not at all, written by rename.
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { DecodeError } from '../core/errors.ts'
import { writeNewFile } from './new-file.ts'

/** The document, or undefined when there is no such file. Throws DecodeError on what is not JSON. */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new DecodeError(path, text, 'a JSON document', { cause })
  }
}

/** Replaces the document; a reader sees the old one or the new one. Makes the folder where needed. */
export async function writeJsonFile(path: string, value: unknown): Promise<void> {
  const temporary = toTemporaryName(path)
  try {
    await writeInFolder(temporary, `${JSON.stringify(value, undefined, 2)}\n`)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A name beside the path that no other writer uses, and that no reader takes for a document. */
export function toTemporaryName(path: string): string {
  written += 1
  return `${path}.${process.pid}-${written}.tmp`
}

let written = 0

/** Removes what writers that were killed have left in a folder. */
export async function sweepTemporaryFiles(folder: string): Promise<void> {
  for (const file of await listFolder(folder)) {
    const pid = /\.(\d+)-\d+\.tmp$/.exec(file)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(join(folder, file), { force: true })
  }
}

/** The files of a folder, sorted; none where there is no such folder. */
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
