// Things made from Go modules, once per set of versions, kept in the user's cache.
import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

const CACHE = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'l2wire')

const BUILD_MS = 30 * 60_000
const STILL_MS = 30_000
const OUTPUT_BYTES = 16 * 1024 * 1024

/** Where progress is told, a line at a time. */
export type Say = (line: string) => void

export interface GoProduct {
  /** The folder of the go.mod that pins the versions. */
  readonly module: string
  /** File name of the product. */
  readonly name: string
  readonly why: string
  readonly make: (target: string) => Promise<void>
  /** Further files that the product follows from. */
  readonly sources?: readonly string[]
}

/** The path of the product, which is made where it is not there yet. */
export async function ensureGoProduct(product: GoProduct, say: Say): Promise<string> {
  const { module, name, why, make } = product
  const folder = await toCacheFolder(module, product.sources ?? [])
  const target = join(folder, name)
  if (await exists(target)) return target
  say(`Building ${name}, once, into ${folder}: it ${why}.`)
  await mkdir(folder, { recursive: true })
  const started = Date.now()
  const toSeconds = (): number => Math.round((Date.now() - started) / 1000)
  const still = setInterval(() => say(`  still building ${name}, ${toSeconds()} s`), STILL_MS)
  // Two processes may build at once: each its own file, and the last to finish puts the same in place.
  // Theirs may have one process id, in namespaces of their own.
  const temporary = `${target}.${randomUUID()}`
  try {
    await make(temporary)
    await rename(temporary, target)
  } finally {
    clearInterval(still)
    await rm(temporary, { force: true })
  }
  say(`  ${name} took ${toSeconds()} s.`)
  return target
}

/** Runs the go command in a module's folder and returns what it prints. */
export async function runGo(module: string, argv: readonly string[]): Promise<string> {
  // The whole environment: a proxy, certificates and caches may stand there. setup/setup.sh puts a Go
  // release into the cache where the machine has none.
  const PATH = `${process.env['PATH']}:${join(CACHE, 'go/bin')}`
  const env = { ...process.env, PATH, CGO_ENABLED: '0', GOWORK: 'off' }
  const options = { cwd: module, env, timeout: BUILD_MS, maxBuffer: OUTPUT_BYTES }
  return (await execute('go', [...argv], options)).stdout
}

export async function getGoModule(
  module: string,
  path: string,
): Promise<{ readonly folder: string; readonly version: string }> {
  await runGo(module, ['mod', 'download', path])
  const text = await runGo(module, ['list', '-m', '-f', '{{.Version}} {{.Dir}}', path])
  const [version = '', folder = ''] = text.trim().split(' ')
  return { folder, version }
}

/** One folder per set of versions and Go release, so that a change of either makes everything anew. */
async function toCacheFolder(module: string, sources: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', ...sources])
    hash.update(await readFile(join(module, file)))
  hash.update(await runGo(module, ['version']))
  return join(CACHE, 'cluster', hash.digest('hex').slice(0, 12))
}

export async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
