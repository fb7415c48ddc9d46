// Puts the CNI plugins where the node's runtime looks for them. A runtime may execute them at any
// moment: what runs keeps its old file (writing over it would fail with ETXTBSY), what starts next gets
// the new one.
import { constants } from 'node:fs'
import { copyFile, link, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { decodeSocketPath, DEFAULT_SOCKET, SOCKET_FILE } from '../../core/cni/socket.ts'
import { CNI_CODE, renderCauses } from '../../core/errors.ts'
import { replaceAtomically } from '../../kernel/replace-atomically.ts'
import type { Run } from '../../kernel/run.ts'
import { findPackedPlugin, isUnpacked, unpackPlugin } from './packed-plugin.ts'
import {
  isSameContent,
  isSameFile,
  replaceContent,
  replaceText,
  sweepTemporaries,
  toTemporaryPath,
} from './replace-file.ts'

/** One executable under two names: the second is a hard link to the first. */
export const PLUGINS = ['l2wire', 'l2wire-bind'] as const

/**
 * From a folder that has the plugin as it is, or packed. Says which plugins were replaced. Idempotent; a node that has
 * them is left as it is.
 */
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
  const source = await findPlugin(join(from, first))
  if (!(await source.isAt(target))) {
    await replaceContent(source.write, target, 0o755, async (path) => tryPlugin(run, path))
    replaced.push(first)
  }
  if (!(await isSameFile(target, linked))) {
    await replaceAtomically(linked, toTemporaryPath(linked), async (temporary) =>
      link(target, temporary),
    )
    replaced.push(second)
  }
  return replaced
}

interface PluginSource {
  readonly isAt: (target: string) => Promise<boolean>
  readonly write: (temporary: string) => Promise<void>
}

async function findPlugin(path: string): Promise<PluginSource> {
  const packed = await findPackedPlugin(path)
  if (packed !== undefined)
    return {
      isAt: async (target) => isUnpacked(packed, target),
      write: async (temporary) => unpackPlugin(packed, temporary),
    }
  return {
    isAt: async (target) => isSameContent(path, target),
    write: async (temporary) => copyFile(path, temporary, constants.COPYFILE_EXCL),
  }
}

/** Tells the plugins in the folder where the agent listens; of the default they know. Idempotent. */
export async function installSocketPath(socketPath: string, to: string): Promise<void> {
  decodeSocketPath(socketPath, '--socket', CNI_CODE.INVALID_ENVIRONMENT)
  const target = join(to, SOCKET_FILE)
  if (socketPath === DEFAULT_SOCKET) await rm(target, { force: true })
  else await replaceText(`${socketPath}\n`, target, 0o644)
}

/** Idempotent. */
export async function removePlugins(folder: string): Promise<void> {
  for (const name of [...PLUGINS, SOCKET_FILE]) await rm(join(folder, name), { force: true })
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
