// Builds KubeVirt's programs from its Go module. The module does not build outside of its repository, so we
// copy its sources and change their go.mod until it does.
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

import { DecodeError } from '../../core/errors.ts'
import { isRecord } from '../../core/record.ts'
import { run } from '../../kernel/run.ts'
import { runGo } from '../go-build.ts'
import {
  CONTAINER_DISK,
  listPrograms,
  listReplaces,
  listStubs,
  STUBS,
  toLinkFlags,
  type Release,
} from './kubevirt-version.ts'

const MODULE = 'kubevirt.io/kubevirt'
const OUR_STUBS = join(import.meta.dirname, STUBS)

/** 2,000 packages, on a machine that may have two cores and other work. */
const BUILD_MS = 90 * 60_000

const FLAGS = ['-mod=mod', '-trimpath', '-buildvcs=false'] as const

/** Paths in the result of buildKubevirt. */
export const PLACES = { source: 'source', programs: 'bin' } as const

/** All causes of a build. Throws DecodeError for an invalid version. */
export async function listCauses(version: string): Promise<readonly (string | Uint8Array)[]> {
  const programs = [...listPrograms(version), CONTAINER_DISK]
  const flags = [...FLAGS, toLinkFlags({ version, commit: undefined, date: '' })]
  const plan = JSON.stringify({ version, programs, replaces: listReplaces(version), flags })
  const stubs = await Promise.all(listStubs(version).map(readFiles))
  return [plan, ...stubs.flat(), await runGo(tmpdir(), ['version'])]
}

async function readFiles(stub: string): Promise<readonly Uint8Array[]> {
  const entries = await readdir(join(OUR_STUBS, stub), { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.sort().map(async (file) => readFile(file)))
}

/** Fills a new folder with the patched sources and the programs. */
export async function buildKubevirt(version: string, folder: string): Promise<void> {
  const { release, sources } = await fetchModule(version)
  const source = join(folder, PLACES.source)
  await mkdir(folder, { recursive: true })
  // Without the modes of the module cache, which forbid writing.
  await run(['cp', '-r', '--no-preserve=mode', sources, source])
  await run(['cp', '-r', '--no-preserve=mode', OUR_STUBS, join(folder, STUBS)])
  // It speaks of modules in staging/, too.
  await rm(join(source, 'go.work'))
  const replaces = listReplaces(version).map(({ path, by }) => `-replace=${path}=${by}`)
  await runGo(source, ['mod', 'edit', ...replaces])
  const programs = join(folder, PLACES.programs)
  await buildPrograms(release, source, programs)
  await buildContainerDisk(source, join(programs, CONTAINER_DISK.name))
}

interface Fetched {
  readonly release: Release
  /** A folder of the module cache. */
  readonly sources: string
}

async function fetchModule(version: string): Promise<Fetched> {
  const query = `${MODULE}@v${version}`
  // Not in a module of ours, because its go.sum would lack it.
  const answer: unknown = JSON.parse(await runGo(tmpdir(), ['mod', 'download', '-json', query]))
  const { Dir: sources, Info: info, Origin: origin } = isRecord(answer) ? answer : {}
  if (typeof sources !== 'string' || typeof info !== 'string')
    throw new DecodeError(`go mod download ${query}`, answer, 'a module with Dir and Info')
  const about: unknown = JSON.parse(await readFile(info, 'utf8'))
  const date = isRecord(about) ? about['Time'] : undefined
  if (typeof date !== 'string') throw new DecodeError(info, about, 'an object with a Time')
  const commit = isRecord(origin) ? origin['Hash'] : undefined
  return {
    release: { version, commit: typeof commit === 'string' ? commit : undefined, date },
    sources,
  }
}

/** All at once, so that no core is idle while a single program is linked. */
async function buildPrograms(release: Release, source: string, target: string): Promise<void> {
  const programs = listPrograms(release.version)
  await mkdir(target)
  const flags = [...FLAGS, '-ldflags', toLinkFlags(release), '-o', `${target}/`]
  const folders = programs.map(({ folder }) => `./${folder}`)
  // Some need libvirt's library. The others do not, but without C they would compile all shared packages again.
  await runGo(source, ['build', ...flags, ...folders], { hasC: true, timeoutMs: BUILD_MS })
  for (const { name, folder } of programs)
    if (name !== basename(folder)) await rename(join(target, basename(folder)), join(target, name))
}

/** Static, because it runs in images that hold a disk and nothing else. */
async function buildContainerDisk(source: string, target: string): Promise<void> {
  const file = join(source, CONTAINER_DISK.source)
  await run(['gcc', '-static', '-O2', '-o', target, file], { env: process.env, timeoutMs: 120_000 })
}
