// Debian as the lowest layer of an image, made by mmdebstrap without files that no container reads. It is kept
// while its list of packages stays the same. Delete it to get newer packages.
import { chmod, mkdir, readdir, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { ensureProduct, type Say } from '../go-build.ts'
import { findMirrors, renderSources } from './debian-mirror.ts'
import { packLayer } from './layer.ts'

export interface DebianRoot {
  readonly name: string
  readonly suite: 'bookworm' | 'trixie'
  readonly packages: readonly string[]
}

const LEFT_OUT = ['doc', 'info', 'lintian', 'locale', 'man', 'linda']
const DEBOOTSTRAP_MS = 30 * 60_000

/** A layer's file. */
export async function ensureDebianRoot(root: DebianRoot, say: Say): Promise<string> {
  const { name, suite } = root
  const causes = [suite, ...[...root.packages].sort()].join(' ')
  const why = 'is what images lie on; takes minutes'
  const make = async (temporary: string): Promise<void> => makeLayer(root, temporary)
  return ensureProduct({ name: `${name}-${suite}.tar`, why, make }, [causes], say)
}

async function makeLayer(root: DebianRoot, target: string): Promise<void> {
  const folder = `${target}.d`
  await mkdir(folder, { recursive: true })
  try {
    await makeDebianRoot(root, folder)
    await packLayer(folder, target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A program that runs with the root as its argument once its packages are installed. */
export interface RootHook {
  readonly program: string
  readonly env: Readonly<Record<string, string>>
}

/** The target is an existing folder. */
export async function makeDebianRoot(
  root: DebianRoot,
  folder: string,
  hook?: RootHook,
): Promise<void> {
  const sources = renderSources(await findMirrors(), root.suite)
  // Our environment may name a proxy.
  const options = { timeoutMs: DEBOOTSTRAP_MS, env: { ...process.env, ...hook?.env } }
  await run(toArgv(root, folder, sources, hook?.program), options)
  await tidy(folder)
}

export function toArgv(
  { suite, packages }: DebianRoot,
  folder: string,
  sources: readonly string[],
  hook?: string,
): readonly string[] {
  return [
    'mmdebstrap',
    '--quiet',
    '--mode=root',
    '--variant=minbase',
    '--format=directory',
    '--skip=check/empty',
    '--aptopt=Acquire::Languages "none"',
    ...LEFT_OUT.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    `--include=${packages.join(',')}`,
    ...(hook === undefined ? [] : [`--customize-hook=${hook}`]),
    suite,
    folder,
    ...sources,
  ]
}

/** Files that differ each time, and files that no container reads. */
async function tidy(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const file of [
    'etc/machine-id',
    'etc/hostname',
    'etc/resolv.conf',
    'var/lib/dbus/machine-id',
  ])
    await rm(join(folder, file), { force: true })
  for (const path of ['var/lib/apt/lists', 'var/cache', 'var/log'])
    await rm(join(folder, path), { recursive: true, force: true })
  for (const path of ['var/cache', 'var/log']) await mkdir(join(folder, path), { recursive: true })
  // Old copies of dpkg's and of the user lists; their names end in a dash or "-old".
  for (const path of ['etc', 'var/lib/dpkg', 'var/cache'])
    for (const name of await readdir(join(folder, path)))
      if (/(-old|-)$/.test(name)) await unlink(join(folder, path, name))
}
