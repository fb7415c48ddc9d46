// Makes the executables in dist/bin. The CNI plugins are one self-contained file under two names, because a
// host has no Node. Each of the others is a bundle in dist/lib and a small wrapper that finds Node 24, here or
// in an image. --bun-runtime PATH compiles the plugins for that runtime's architecture.
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { build } from 'esbuild'

const ROOT = resolve(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')
/** Built beside dist and swapped in, so that running programs keep their files. */
const NEXT = join(ROOT, 'dist.next')
const BIN = join(NEXT, 'bin')
const LIB = join(NEXT, 'lib')

interface Program {
  readonly name: string
  readonly entry: string
  /** V8 options: only what a small long-lived process needs. */
  readonly nodeFlags: readonly string[]
}

const PROGRAMS: readonly Program[] = [
  { name: 'l2wire-agent', entry: 'agent/main.ts', nodeFlags: ['--max-semi-space-size=2'] },
  { name: 'l2wire-node', entry: 'agent/node-tool/main.ts', nodeFlags: [] },
  {
    name: 'l2wire-sidecar',
    entry: 'sidecar/main.ts',
    // Measured by bench/sidecar.ts: these options keep it within 35 MB of anonymous memory. The heap's limit
    // leaves room for one large domain. One thread and no JavaScript compiler are enough for a few calls in a
    // VM's life.
    nodeFlags: [
      '--optimize-for-size',
      '--no-opt',
      '--no-maglev',
      '--no-sparkplug',
      '--single-threaded',
      '--v8-pool-size=0',
      '--max-semi-space-size=1',
      '--max-old-space-size=48',
    ],
  },
  { name: 'kubectl-l2wire', entry: 'cli/main.ts', nodeFlags: [] },
]

const { values: options } = parseArgs({ options: { 'bun-runtime': { type: 'string' } } })

rmSync(NEXT, { recursive: true, force: true })
mkdirSync(BIN, { recursive: true })
mkdirSync(LIB, { recursive: true })
for (const program of PROGRAMS) await bundle(program)
copyProtos()
copyDropIns()
writeCompletionHelper()
compileShim()
rmSync(DIST, { recursive: true, force: true })
renameSync(NEXT, DIST)

async function bundle(program: Program): Promise<void> {
  await build({
    entryPoints: [join(ROOT, program.entry)],
    outfile: join(LIB, `${program.name}.mjs`),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    legalComments: 'none',
    // Half the size, which V8 keeps in memory as well. Names stay, for stack traces.
    minifyWhitespace: true,
    logLevel: 'warning',
    // CommonJS libraries inside an ES module bundle call require for Node's own modules.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  })
  const path = join(BIN, program.name)
  writeFileSync(path, renderWrapper(program))
  chmodSync(path, 0o755)
}

function renderWrapper({ name, nodeFlags }: Program): string {
  return `#!/bin/sh
# Runs ${name} on Node 24: the one of this checkout, else the one on the PATH.
here=$(dirname "$(readlink -f "$0")")
node="$here/../../node_modules/.bin/node"
[ -x "$node" ] || node=node
exec "$node" ${[...nodeFlags, ''].join(' ')}"$here/../lib/${name}.mjs" "$@"
`
}

// kubectl runs an executable of this name to complete "kubectl l2wire".
function writeCompletionHelper(): void {
  const path = join(BIN, 'kubectl_complete-l2wire')
  const here = '$(dirname "$(readlink -f "$0")")'
  writeFileSync(path, `#!/bin/sh\nexec "${here}/kubectl-l2wire" __complete "$@"\n`)
  chmodSync(path, 0o755)
}

// proto/load.ts reads them from its own folder, which is the bundle's folder here.
function copyProtos(): void {
  for (const file of readdirSync(join(ROOT, 'proto')))
    if (file.endsWith('.proto')) copyFileSync(join(ROOT, 'proto', file), join(LIB, file))
}

// Read by agent/node-tool/drop-ins.ts, in the same way as the protos.
function copyDropIns(): void {
  for (const folder of ['NetworkManager', 'systemd-networkd'])
    for (const file of readdirSync(join(ROOT, 'deploy/node', folder)))
      copyFileSync(join(ROOT, 'deploy/node', folder, file), join(LIB, file))
}

function compileShim(): void {
  const path = join(BIN, 'l2wire')
  // The package of this machine's own build. "bun" itself has only a script that would fetch or link it.
  const machine = process.arch === 'arm64' ? 'aarch64' : process.arch
  const bun = join(ROOT, `node_modules/@oven/bun-linux-${machine}/bin/bun`)
  // Files in the runtime's working directory must not configure a program that runs as root.
  const isolation = ['--no-compile-autoload-dotenv', '--no-compile-autoload-bunfig']
  const runtime = options['bun-runtime']
  // Without a target Bun takes its own architecture. It does not read the architecture from the runtime's file.
  const target =
    runtime === undefined
      ? []
      : [`--target=bun-linux-${readArchitecture(runtime)}`, `--compile-executable-path=${runtime}`]
  execFileSync(
    bun,
    [
      'build',
      '--compile',
      '--minify',
      ...isolation,
      ...target,
      join(ROOT, 'cni-shim/main.ts'),
      '--outfile',
      path,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], cwd: ROOT },
  )
  linkSync(path, join(BIN, 'l2wire-bind'))
}

/** Of an ELF file: e_machine is two bytes at 18 (elf.h). */
function readArchitecture(path: string): string {
  const machine = readFileSync(path).readUInt16LE(18)
  const architecture = { 62: 'x64', 183: 'arm64' }[machine]
  if (architecture === undefined)
    throw new Error(`Cannot compile for "${path}": machine ${machine}, expected x86-64 or AArch64`)
  return architecture
}
