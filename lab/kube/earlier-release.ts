// An earlier release of l2wire, from its commit in this repository: its manifests, and its images built from its
// sources as its own Dockerfile says.
import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { NotSupportedError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import { ensureProduct, type Say } from '../go-build.ts'
import { ROOT } from '../manifests.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import type { Image } from './docker-archive.ts'
import { parseDockerfile } from './dockerfile.ts'
import { DOCKERFILE, makeOwnImage, OWN_IMAGES } from './own-images.ts'

export interface Release {
  /** A checkout without build results. */
  readonly folder: string
  readonly images: readonly Image[]
}

const BUILD_MS = 15 * 60_000
/** The stage that is Node's own image, from which ours takes this file. */
const NODE = { stage: 'node', file: 'usr/local/bin/node' } as const

/** Made once. Throws NotSupportedError if the repository's history does not reach back to it. */
export async function ensureEarlierRelease(version: string, say: Say): Promise<Release> {
  const commit = await findCommit(version)
  const why = 'is what a cluster is upgraded from'
  const make = async (target: string): Promise<void> => makeRelease(commit, version, target, say)
  const folder = await ensureProduct({ name: `release-${version}`, why, make }, [commit], say)
  const images = OWN_IMAGES.map((stage) => ({
    name: toName(stage, version),
    file: join(folder, `${stage}.tar`),
  }))
  return { folder: join(folder, 'checkout'), images }
}

/** By its tag, or by the commit that made it. */
async function findCommit(version: string): Promise<string> {
  const pattern = `^Release ${version.replaceAll('.', String.raw`\.`)}$`
  const tag = await git('tag', '--list', `v${version}`)
  const found = await git('log', '-1', '--format=%H', ...(tag === '' ? ['--grep', pattern] : [tag]))
  if (found !== '') return found
  throw new NotSupportedError(
    `No release ${version} in the history of ${ROOT}, expected a clone that is not shallow (git fetch --unshallow --tags)`,
  )
}

async function makeRelease(
  commit: string,
  version: string,
  target: string,
  say: Say,
): Promise<void> {
  const checkout = join(target, 'checkout')
  await mkdir(checkout, { recursive: true })
  await unpack(commit, checkout)
  await using built = await newTemporaryFolder('release')
  await unpack(commit, built.path)
  const build = promisify(execFile)
  const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter)
  const env = { ...withoutNpm(process.env), PATH }
  const options = { cwd: built.path, timeout: BUILD_MS, env }
  await build('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options)
  await build(process.execPath, ['build/build.ts'], options)
  await using node = await newTemporaryFolder('node')
  await run(['install', '-D', process.execPath, join(node.path, NODE.file)])
  const dockerfile = parseDockerfile(await readFile(join(checkout, DOCKERFILE), 'utf8'))
  const source = { dockerfile, checkout: built.path, made: { [NODE.stage]: node.path } }
  for (const stage of OWN_IMAGES)
    await makeOwnImage(source, stage, toName(stage, version), join(target, `${stage}.tar`), say)
}

/** Whatever of the environment an npm that runs us has set says how this checkout is installed, and not that one. */
function withoutNpm(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !/^npm_/i.test(key)))
}

function toName(stage: string, version: string): string {
  return `ghcr.io/l2wire/${stage}:${version}`
}

async function unpack(commit: string, folder: string): Promise<void> {
  await run([
    'sh',
    '-c',
    'git -C "$1" archive "$2" | tar -x -C "$3"',
    'unpack',
    ROOT,
    commit,
    folder,
  ])
}

async function git(...argv: readonly string[]): Promise<string> {
  return (await run(['git', '-c', 'safe.directory=*', '-C', ROOT, ...argv])).trim()
}
