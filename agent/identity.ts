// Who this agent is, apart from the name it is given: made once, and kept as long as its state directory. So an
// agent that is started again is told from another one.
import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

import { toTemporaryName } from '../store/json-file.ts'
import { writeNewFile } from '../store/new-file.ts'

export const IDENTITY_FILE = 'identity'

/** With the machine's name before it, for whoever reads it. */
export async function readIdentity(stateDir: string): Promise<string> {
  const path = join(stateDir, IDENTITY_FILE)
  const known = await read(path)
  if (known !== '') return known
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const temporary = toTemporaryName(path)
  await writeNewFile(temporary, `${hostname()}_${randomUUID()}\n`)
  try {
    // An empty one is what a machine that lost its power may have left.
    await rm(path, { force: true })
    await link(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
  return read(path)
}

async function read(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
