// Makes a stage of a Dockerfile without a container engine: Debian by mmdebstrap, commands in a chroot. The
// result of stage "build" is in a checkout already, from "make build".
import { glob, mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { DecodeError } from '../../core/errors.ts'
import { run } from '../../kernel/run.ts'
import type { Say } from '../go-build.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import { ensureDebianRoot, type DebianRoot } from './debian-root.ts'
import {
  getStage,
  parseCopy,
  readArgs,
  readInstalled,
  type Copy,
  type Dockerfile,
  type Instruction,
  type Stage,
} from './dockerfile.ts'
import { unpackLayer } from './layer.ts'

/** The folder of the checkout in that stage. */
const BUILD = { stage: 'build', folder: '/src' } as const

const COMMAND_MS = 5 * 60_000

export interface StageSource {
  readonly dockerfile: Dockerfile
  /** The folder in which it was built. */
  readonly checkout: string
  /** Stages that are there already, each a folder. */
  readonly made?: Readonly<Record<string, string>>
}

/** Fills an empty folder with the stage's result. */
export async function makeStage(
  source: StageSource,
  name: string,
  folder: string,
  say: Say,
): Promise<void> {
  const { dockerfile, checkout } = source
  const stage = getStage(dockerfile, name)
  const root = toRoot(dockerfile, stage)
  if (root !== undefined) await unpackLayer(await ensureDebianRoot(root, say), folder)
  else if (stage.base !== 'scratch') await makeStage(source, stage.base, folder, say)
  await using others = await newTemporaryFolder('stages')
  const made = new Map([[BUILD.stage as string, checkout], ...Object.entries(source.made ?? {})])
  const ensureStage = async (from: string): Promise<string> => {
    const known = made.get(from)
    if (known !== undefined) return known
    const target = join(others.path, from)
    await mkdir(target)
    await makeStage(source, from, target, say)
    made.set(from, target)
    return target
  }
  for (const instruction of stage.instructions)
    if (instruction.verb === 'COPY') {
      const copy = parseCopy(instruction)
      await copyInto(
        folder,
        copy,
        copy.from === undefined ? checkout : await ensureStage(copy.from),
      )
    } else await obey(instruction, readArgs(stage), folder)
}

/** The Debian that a stage starts from, with all packages that it installs; undefined for another start. */
export function toRoot(dockerfile: Dockerfile, stage: Stage): DebianRoot | undefined {
  const image = stage.base.startsWith('$') ? dockerfile.args[stage.base.slice(1)] : undefined
  if (image === undefined) return undefined
  const suite = /\/debian:(\w+)-/.exec(image)?.[1]
  if (suite !== 'bookworm' && suite !== 'trixie')
    throw new DecodeError(stage.base, image, 'Debian bookworm or trixie')
  const args = readArgs(stage)
  const packages = stage.instructions.flatMap((line) => readInstalled(line, args) ?? [])
  return { name: 'l2wire', suite, packages }
}

async function obey(
  { verb, text }: Instruction,
  args: Readonly<Record<string, string>>,
  folder: string,
): Promise<void> {
  switch (verb) {
    case 'RUN': {
      if (readInstalled({ verb, text }, args) !== undefined) return
      const env = Object.entries(args).map(([name, value]) => `${name}=${value}`)
      const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
      const argv = ['chroot', folder, 'env', '-i', path, ...env, 'sh', '-c', text]
      await run(argv, { timeoutMs: COMMAND_MS })
      return
    }
    // Instructions about how containers start, and those that are read above.
    case 'ARG':
    case 'ENV':
    case 'USER':
    case 'ENTRYPOINT':
      return
    default:
      throw new DecodeError('instruction', verb, 'RUN, COPY, ARG, ENV, USER or ENTRYPOINT')
  }
}

/** Like COPY: a folder's content, or files. A target that ends in a slash is a folder. All belongs to root. */
async function copyInto(
  folder: string,
  { from, sources, target }: Copy,
  root: string,
): Promise<void> {
  const to = join(folder, target)
  await mkdir(target.endsWith('/') ? to : dirname(to), { recursive: true })
  for (const source of sources) {
    const path = from === BUILD.stage ? source.slice(BUILD.folder.length) : source
    const found = source.includes('*') ? await findFiles(join(root, path)) : [join(root, path)]
    if (found.length === 0) throw new DecodeError('COPY', source, `a file of "${root}"`)
    for (const file of found) {
      const into = target.endsWith('/') && !source.endsWith('/') ? join(to, basename(file)) : to
      const what = source.endsWith('/') ? `${file}/.` : file
      await run(['cp', '-R', '--no-dereference', '--preserve=mode', what, into])
    }
  }
}

async function findFiles(pattern: string): Promise<readonly string[]> {
  const found: string[] = []
  for await (const file of glob(pattern)) found.push(file)
  return found.sort()
}
