// Loads images from files into a node's containerd, where a kubelet looks before it asks a registry.
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import type { Machine } from './machine.ts'
import { RUNTIME_SOCKET } from './node-config.ts'
import { toMachineFolder } from './state.ts'

/** A docker archive. */
export interface ImageFile {
  /** With its tag. */
  readonly name: string
  readonly file: string
  readonly otherNames?: readonly string[]
}

const IMPORT_MS = 10 * 60_000
/** The command line for images in the kubelet's namespace of containerd. */
export const CTR = ['ctr', '--address', RUNTIME_SOCKET, '--namespace', 'k8s.io']

/** Skips those that are loaded already. */
export async function loadImages(node: Machine, images: readonly ImageFile[]): Promise<void> {
  const record = join(toMachineFolder(node.name), 'images.json')
  const loaded = new Map(Object.entries(await readRecord(record)))
  for (const { name, file, otherNames = [] } of images) {
    const { size, mtimeMs } = await stat(file)
    const version = [file, size, mtimeMs, ...otherNames].join(' ')
    if (loaded.get(name) === version) continue
    await importImage(node, file)
    for (const other of otherNames)
      await node.run([...CTR, 'images', 'tag', '--force', name, other])
    for (const each of [name, ...otherNames]) await nameByDigest(node, each)
    loaded.set(name, version)
    await writeFile(record, JSON.stringify(Object.fromEntries(loaded)))
  }
}

// The file is not on the node, so it comes through a pipe.
async function importImage(node: Machine, file: string): Promise<void> {
  const argv = await node.enter([...CTR, 'images', 'import', '-'])
  await run(['sh', '-c', 'exec "$@" <"$0"', file, ...argv], { timeoutMs: IMPORT_MS })
}

/**
 * KubeVirt pins images of a migration's target to IMAGE@DIGEST. An import does not create that name, and nobody
 * could pull it.
 */
async function nameByDigest(node: Machine, name: string): Promise<void> {
  const line = await node.run([...CTR, 'images', 'list', `name==${name}`])
  const digest = /sha256:[0-9a-f]{64}/.exec(line)?.[0]
  if (digest === undefined)
    throw new Error(
      `No image "${name}" on ${node.name} after its import, expected that name in the archive`,
    )
  const pinned = `${name.replace(/:[^/:]*$/, '')}@${digest}`
  await node.run([...CTR, 'images', 'tag', '--force', name, pinned])
}

async function readRecord(file: string): Promise<Readonly<Record<string, string>>> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Record<string, string>
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}
