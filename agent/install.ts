// Puts the CNI plugins where the node's runtime looks for them. A runtime may execute them at any
// moment: what runs keeps its old file (writing over it would fail with ETXTBSY), what starts next gets
// the new one.
import { link, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { renderCauses } from '../core/errors.ts'
import type { Run } from '../kernel/run.ts'
import { isSameFile, replaceFile, sweepTemporaries, toTemporaryPath } from './replace-file.ts'

/** One executable under two names: the second is a hard link to the first. */
export const PLUGINS = ['l2wire', 'l2wire-bind'] as const

/** Says which plugins were replaced. Idempotent; a node that has them is left as it is. */
export async function installPlugins(
  run: Run,
  from: string,
  to: string,
): Promise<readonly string[]> {
  await sweepTemporaries(to)
  const [first, second] = PLUGINS
  const target = join(to, first)
  const linked = join(to, second)
  const replaced: string[] = []
  if (await replaceFile(join(from, first), target, 0o755, async (path) => tryPlugin(run, path)))
    replaced.push(first)
  if (!(await isSameFile(target, linked))) {
    const temporary = toTemporaryPath(linked)
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
