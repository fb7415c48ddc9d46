// Completes package-lock.json after `npm install`. With a registry mirror that carries only its own platform's
// builds, npm leaves the other platforms' optional packages out of the lock, and `npm ci` then refuses the lock
// on every platform. The entries written here are the ones that npm itself would write: the requested version
// and its platform. Run: npx node setup/complete-lock.ts
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

interface LockEntry {
  readonly version?: string
  readonly dev?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const PATH = join(resolve(import.meta.dirname, '..'), 'package-lock.json')
const OS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64']

const lock = JSON.parse(readFileSync(PATH, 'utf8')) as { packages: Record<string, LockEntry> }
const added: Record<string, unknown> = {}
for (const parent of Object.values(lock.packages))
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`
    if (lock.packages[path] !== undefined) continue
    const words = (name.split('/').pop() ?? '').split('-')
    added[path] = {
      version,
      ...(words.includes('wasm32') ? { cpu: ['wasm32'] } : toPlatform(words)),
      ...(parent.dev === true ? { dev: true } : {}),
      optional: true,
    }
  }

function toPlatform(words: readonly string[]): object {
  const os = words.find((word) => OS.includes(word))
  const cpu =
    words.find((word) => CPU.includes(word)) ?? (words.includes('arm') ? 'arm' : undefined)
  if (os === undefined || cpu === undefined)
    throw new Error(`Cannot complete the lock: "${words.join('-')}" names no platform`)
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : 'glibc'
  return { cpu: [cpu], os: [os], ...(os === 'linux' ? { libc: [libc] } : {}) }
}

const packages = Object.fromEntries(
  Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) => (a < b ? -1 : 1)),
)
writeFileSync(PATH, `${JSON.stringify({ ...lock, packages }, undefined, 2)}\n`)
process.stdout.write(`${Object.keys(added).length} entries added\n`)
