// Products of Go modules, made once per set of versions and kept in the user's cache.
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

/** Receives progress, a line at a time. */
export type Say = (line: string) => void

interface Product {
  /** Name of the product, a file or a folder. */
  readonly name: string
  readonly why: string
  readonly make: (target: string) => Promise<void>
}

export interface GoProduct extends Product {
  /** The folder of the go.mod that pins the versions. */
  readonly module: string
  /** Further files that the product depends on. */
  readonly sources?: readonly string[]
}

/** The path of the product. Makes it if needed. */
export async function ensureGoProduct(product: GoProduct, say: Say): Promise<string> {
  const { module, sources = [] } = product
  const files = ['go.mod', 'go.sum', ...sources].map((file) => join(module, file))
  const causes = await Promise.all(files.map(async (file) => readFile(file)))
  return ensureProduct(product, [...causes, await runGo(module, ['version'])], say)
}

/** As ensureGoProduct, for a product that depends on these causes instead of a go.mod of ours, in order. */
export async function ensureProduct(
  { name, why, make }: Product,
  causes: readonly (string | Uint8Array)[],
  say: Say,
): Promise<string> {
  const folder = toCacheFolder(causes)
  const target = join(folder, name)
  if (await exists(target)) return target
  say(`Building ${name}, once, into ${folder}: it ${why}.`)
  await mkdir(folder, { recursive: true })
  const started = Date.now()
  const toSeconds = (): number => Math.round((Date.now() - started) / 1000)
  const still = setInterval(() => say(`  still building ${name}, ${toSeconds()} s`), STILL_MS)
  // Two processes may build at once. Each builds its own copy, and both move the same product into place. They
  // may have one process ID, in separate namespaces.
  const temporary = `${target}.${randomUUID()}`
  try {
    await make(temporary)
    await putInPlace(temporary, target)
  } finally {
    clearInterval(still)
    await rm(temporary, { recursive: true, force: true })
  }
  say(`  ${name} took ${toSeconds()} s.`)
  return target
}

async function putInPlace(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target)
  } catch (error) {
    // A folder cannot replace another one. Another process was faster and made the same product.
    if (!(await exists(target))) throw error
  }
}

export interface GoOptions {
  /** Whether to build C code, too. */
  readonly hasC?: boolean
  readonly timeoutMs?: number
}

/** Runs the go command in a module's folder and returns its output. */
export async function runGo(
  module: string,
  argv: readonly string[],
  { hasC = false, timeoutMs = BUILD_MS }: GoOptions = {},
): Promise<string> {
  // The whole environment, which may name a proxy, certificates and caches. setup/setup.sh puts a Go release
  // into the cache if the machine has none.
  const PATH = `${process.env['PATH']}:${join(CACHE, 'go/bin')}`
  const env = { ...process.env, PATH, CGO_ENABLED: hasC ? '1' : '0', GOWORK: 'off' }
  const options = { cwd: module, env, timeout: timeoutMs, maxBuffer: OUTPUT_BYTES }
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

/**
 * One folder per set of causes, such as versions and the Go release. A change of any cause makes everything
 * again.
 */
function toCacheFolder(causes: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const cause of causes) hash.update(cause)
  return join(CACHE, 'cluster', hash.digest('hex').slice(0, 12))
}

export async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
