// Puts the CNI plugins where the node's runtime looks for them. A runtime may execute them at any
// moment, so each name leads to a whole file of one version at every instant: what runs keeps its old
// file (writing over it would fail with ETXTBSY), what starts next gets the new one.
import { constants, type Stats } from 'node:fs'
import { copyFile, link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { renderCauses } from '../core/errors.ts'
import type { Run } from '../kernel/run.ts'

/** One executable under two names: the second is a hard link to the first. */
export const PLUGINS = ['l2wire', 'l2wire-bind'] as const

/** Names of our own half-made files, of which a killed predecessor may have left some. */
const TEMPORARY = /^\.l2wire-install-/

/** Says which plugins were replaced. Idempotent; a node that has them is left as it is. */
export async function installPlugins(
  run: Run,
  from: string,
  to: string,
): Promise<readonly string[]> {
  for (const file of await readdir(to)) if (TEMPORARY.test(file)) await rm(join(to, file))
  const [first, second] = PLUGINS
  const source = join(from, first)
  const target = join(to, first)
  const linked = join(to, second)
  const replaced: string[] = []
  if (!(await isSameContent(source, target))) {
    const temporary = join(to, `.l2wire-install-${process.pid}`)
    try {
      await copyDurably(source, temporary)
      await tryPlugin(run, temporary)
      await rename(temporary, target)
    } finally {
      await rm(temporary, { force: true })
    }
    replaced.push(first)
  }
  if (!(await isSameFile(target, linked))) {
    const temporary = join(to, `.l2wire-install-${process.pid}`)
    await link(target, temporary)
    await rename(temporary, linked)
    replaced.push(second)
  }
  return replaced
}

/** Idempotent. */
export async function removePlugins(folder: string): Promise<void> {
  for (const name of PLUGINS) await rm(join(folder, name), { force: true })
}

async function copyDurably(source: string, target: string): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_EXCL)
  const file = await open(target, 'r+')
  try {
    await file.chmod(0o755)
    // A power cut after the rename must not leave an empty plugin behind the name.
    await file.sync()
  } finally {
    await file.close()
  }
}

// A plugin of another architecture, or a folder mounted noexec, shows here and not in somebody's pod.
async function tryPlugin(run: Run, path: string): Promise<void> {
  try {
    const answer: unknown = JSON.parse(await run(['env', 'CNI_COMMAND=VERSION', path]))
    if (answer !== null && typeof answer === 'object' && 'supportedVersions' in answer) return
    throw new Error(`it answered ${JSON.stringify(answer)}, expected the versions it supports`)
  } catch (cause) {
    throw new Error(`Cannot install "${path}": it does not run here: ${renderCauses(cause)}`, {
      cause,
    })
  }
}

async function isSameContent(one: string, other: string): Promise<boolean> {
  const [first, second] = [await readStats(one), await readStats(other)]
  if (first === undefined || first.size !== second?.size) return false
  return (await readFile(one)).equals(await readFile(other))
}

async function isSameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = [await readStats(one), await readStats(other)]
  return first !== undefined && first.ino === second?.ino && first.dev === second.dev
}

async function readStats(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
