// Runs test files apart from each other and several at a time. Each gets its own namespaces and folder for
// temporary files, so that suites which compare the machine before and after do not see each other.
// Usage: node lab/run-apart.ts [--per-cpu N | --jobs N] [--timeout MS] [--grep TEXT] PATTERN [FILE...]
import { spawn, type ChildProcess } from 'node:child_process'
import { globSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { ROOT } from './manifests.ts'

/** These start first, because a long one that starts last runs alone at the end. Others follow by name. */
const LONG: readonly string[] = [
  'test/vm/migration.test.ts',
  'test/kernel/wire/heal.test.ts',
  'test/kernel/wire/tunnel.test.ts',
  'test/vm/wires.test.ts',
  'test/model/migration.test.ts',
  'test/model/wires.test.ts',
  'test/kernel/wire/migration.test.ts',
  'test/model/launcher.test.ts',
  'test/kernel/wire/wire.test.ts',
  'test/kernel/podnetwork/egress-drop.test.ts',
  'test/kernel/wire/release.test.ts',
  'test/kernel/podnetwork/agent.test.ts',
  'test/process/uninstall.test.ts',
  'test/lab/migration-deeds.test.ts',
  'test/lab/migration.test.ts',
  'test/lab/nics.test.ts',
  'test/lab/pod-network-minute.test.ts',
  'test/lab/migration-store-away.test.ts',
  'test/lab/pod-network.test.ts',
  'test/lab/pod-network-migration.test.ts',
  'test/lab/migration-many.test.ts',
  'test/lab/macvtap.test.ts',
  'test/lab/node.test.ts',
  'test/lab/pod-network-mend.test.ts',
  'test/cluster/model.test.ts',
  'test/cluster/migration-api-away.test.ts',
  'test/cluster/doctor.test.ts',
  'test/cluster/agent.test.ts',
  'test/cluster/kubevirt-patches.test.ts',
  'test/cluster/launcher.test.ts',
  'test/cluster/kubernetes-store-faults.test.ts',
  'test/cluster/guest-carrier.test.ts',
]

/** Each test has its own limit and reports it. A file without output for longer than any limit hangs. */
const SILENT_MS = 12 * 60_000
/** The memory that a file needs at most: one with four guests, each with its libvirt and its node. */
const FILE_BYTES = 1.5 * 1024 ** 3

interface Result {
  readonly file: string
  readonly passed: boolean
  /** mocha's output about failures, printed again after the output of all other files. */
  readonly failures: string
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    // Most tests wait more than they compute. Emulated guests compute.
    'per-cpu': { type: 'string', default: '3' },
    jobs: { type: 'string' },
    timeout: { type: 'string' },
    grep: { type: 'string', short: 'g' },
  },
})
const running = new Set<ChildProcess>()

/** If files are named after the pattern, as "npm run test:kernel -- FILE" does, only these. */
function listFiles(): readonly string[] {
  const [pattern, ...named] = positionals
  if (pattern === undefined) throw new Error('No test file is named, expected a pattern')
  const files = named.length > 0 ? named : globSync(pattern, { cwd: ROOT })
  if (files.length === 0) throw new Error(`No test file is like "${pattern}"`)
  return files.toSorted((a, b) => toRank(a) - toRank(b) || a.localeCompare(b))
}

function countJobs(): number {
  if (values.jobs !== undefined) return Number(values.jobs)
  const byMemory = Math.floor(process.availableMemory() / FILE_BYTES)
  return Math.max(1, Math.min(Number(values['per-cpu']) * availableParallelism(), byMemory))
}

function toRank(file: string): number {
  return LONG.includes(file) ? LONG.indexOf(file) : LONG.length
}

async function runFile(file: string): Promise<Result> {
  const started = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'l2w-apart-'))
  try {
    // Mode of /tmp, because some processes of tests are not root.
    await chmod(folder, 0o1777)
    const { exitCode, output } = await runMocha(file, folder)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`== ${file}, ${seconds} s\n${output}`)
    // A file that ended before its tests did has no result.
    const passed = exitCode === 0 && /^ +\d+ passing/m.test(output)
    const at = output.search(/^ +\d+ failing$/m)
    return {
      file,
      passed,
      failures: at === -1 ? '' : output.slice(at).replace(/^.*\n/, '').trimEnd(),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runMocha(
  file: string,
  folder: string,
): Promise<{ readonly exitCode: number | null; readonly output: string }> {
  const options = Object.entries({ timeout: values.timeout, grep: values.grep }).flatMap(
    ([name, value]) => (value === undefined ? [] : [`--${name}`, value]),
  )
  const mocha = [join(ROOT, 'node_modules/.bin/mocha'), ...options, file]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(ROOT, 'lab/apart.sh'), ...mocha], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C is for us.
    detached: true,
    env: { ...process.env, TMPDIR: folder },
  })
  running.add(child)
  // Reports a hanging file by name, with its output so far.
  const late = setTimeout(() => child.kill('SIGKILL'), SILENT_MS)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
      late.refresh()
    })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exitCode, signal) => {
      clearTimeout(late)
      running.delete(child)
      const end =
        signal === null
          ? ''
          : `\nThis file was ended by ${signal}: it says nothing any more, or was interrupted.\n`
      resolve({ exitCode, output: output + end })
    })
  })
}

const waiting = [...listFiles()]
const results: Result[] = []

async function work(): Promise<void> {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
    results.push(await runFile(file))
}

// The namespaces and everything in them die with their first processes.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    waiting.length = 0
    for (const child of running) child.kill('SIGKILL')
  })

await Promise.all(Array.from({ length: countJobs() }, work))
const failed = results.filter(({ passed }) => !passed)
if (failed.length > 0) {
  console.log(`${failed.length} of ${results.length} files failed:`)
  for (const { file, failures } of failed) console.log(`\n${file}\n${failures}`)
  process.exitCode = 1
}
