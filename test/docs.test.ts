// What the documents promise and a test can look up.
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CNI_CODE } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import { FRAME_ROWS } from '../core/tester/frames.ts'

const ROOT = resolve(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

function listMarkdown(): readonly string[] {
  // A running cluster has whole Debians in there.
  const others = ['node_modules', '.lab', '.git', 'dist']
  return globSync('**/*.md', { cwd: ROOT, exclude: (path) => others.includes(basename(path)) })
}

/** The keys of decodePluginConfig, as core/cni/config.ts lists them. */
function listConfigKeys(): readonly string[] {
  const [, list = ''] = /KNOWN_KEYS = \[([^\]]*)\]/.exec(read('core/cni/config.ts')) ?? []
  return [...list.matchAll(/'([A-Za-z]+)'/g)].map((match) => match[1] ?? '')
}

describe('docs/configuration.md', () => {
  const text = read('docs/configuration.md')
  // What runtimes and the spec add is none of an author's business.
  const others = ['cniVersions', 'type', 'args', 'prevResult', 'dns']
  const keys = listConfigKeys().filter((key) => !others.includes(key))
  for (const key of keys)
    it(`explains "${key}"`, () => {
      expect(text).to.match(new RegExp(`\`${key}\\b`))
    })

  it('has keys to explain', () => {
    expect(keys).to.include.members(['wire', 'mtu', 'maxFrame', 'vni', 'attach'])
  })
})

describe('docs/errors.md', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| (\d+) +\|/gm)].map((match) =>
    Number(match[1]),
  )
  for (const [name, code] of Object.entries(CNI_CODE))
    it(`explains ${code}, ${name}`, () => {
      expect(rows).to.include(code)
    })
})

describe('core/version.ts', () => {
  it('is the release of package.json', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string }
    expect(VERSION).to.equal(version)
  })
})

describe('what an admin applies', () => {
  const images = readdirSync(join(ROOT, 'kubevirt-patches'), { recursive: true, encoding: 'utf8' })
    .map((file) => `kubevirt-patches/${file}`)
    .filter((file) => file.endsWith('.yaml') && read(file).includes('ghcr.io/l2wire/'))
  const places = [
    ...images.map((file) => [file, /ghcr\.io\/l2wire\/[a-z]+:([\w.-]+)/g] as const),
    ['deploy/base/kustomization.yaml', /newTag: '?([\w.-]+)/g] as const,
    ['deploy/README.md', /\?ref=v([\w.-]+)/g] as const,
  ]
  for (const [file, pattern] of places)
    it(`${file} names this release`, () => {
      const named = [...read(file).matchAll(pattern)].map((match) => match[1])
      expect(named).to.have.length.greaterThan(0)
      expect([...new Set(named)]).to.deep.equal([VERSION])
    })

  it('has images by name', () => {
    expect(images).to.include.members([
      'kubevirt-patches/register-binding.yaml',
      'kubevirt-patches/plugin/inject-sidecar.yaml',
    ])
  })
})

describe('docs/kubectl-l2wire.md', () => {
  const text = read('docs/kubectl-l2wire.md')
  const kinds = [...read('core/doctor/wire.ts').matchAll(/(?:kind: |\[\s*)'([a-z-]+)'/g)].map(
    (match) => match[1] ?? '',
  )
  for (const kind of new Set(kinds))
    it(`explains "${kind}"`, () => {
      expect(text).to.include(`\`${kind}\``)
    })

  const listKinds = (file: string, pattern: RegExp): readonly string[] =>
    [...read(file).matchAll(pattern)].map((match) => match[1] ?? '')
  const parts = [
    'core/doctor/node',
    'core/doctor/store',
    'core/doctor/path',
    'agent/doctor/compare',
  ]
  const found = [
    ...parts.flatMap((part) => listKinds(`${part}.ts`, /newFinding\(\s*'([a-z-]+)'/g)),
    ...listKinds('core/steps/words.ts', /'((?:device|peer|tunnel|not|no)-[a-z-]+|redirect)'/g),
    ...listKinds('agent/attach/tap-verbs.ts', /toDifferences\(\s*'([a-z-]+)'/g),
  ]
  const [, chapter = ''] = text.split('## doctor')
  for (const kind of new Set(found))
    it(`explains what doctor finds as "${kind}"`, () => {
      expect(chapter).to.include(`\`${kind}\``)
    })

  it('has kinds that doctor finds', () => {
    expect(found).to.include.members(['vni-stray', 'peer-stray', 'claim-stray', 'tap-queues'])
  })

  it('has kinds to explain', () => {
    expect(kinds).to.include.members(['no-far-end', 'third-end', 'refused'])
  })
})

describe('README.md', () => {
  const text = read('README.md')

  it('is read in one sitting', () => {
    expect(text.split('\n').length).to.be.lessThan(150)
  })

  it('shows what is lost, how a wire is made and its YAML, in this order, before how to start', () => {
    const places = ['| Linux bridge', 'tc══', '```yaml', '## Quick start'].map((one) =>
      text.indexOf(one),
    )
    expect(places).to.not.include(-1)
    expect(places).to.deep.equal(places.toSorted((one, other) => one - other))
  })

  it('names commands that exist', () => {
    const makefile = read('Makefile')
    for (const [, target = ''] of text.matchAll(/`make ([a-z-]+)`/g))
      expect(makefile, target).to.match(new RegExp(`^${target}:`, 'm'))
  })

  it('shows rows that the table has', () => {
    const names = FRAME_ROWS.map((row) => row.name)
    const shown = [...text.matchAll(/^ {4}(\S.*?) +delivered +delivered$/gm)].map(
      (match) => match[1],
    )
    expect(shown).to.have.length.greaterThan(4)
    const others = ['nothing else arrives', 'idle wire is silent']
    for (const name of shown) expect([...names, ...others]).to.include(name)
  })
})

describe('links', () => {
  for (const file of listMarkdown())
    it(`of ${file} lead somewhere`, () => {
      const targets = [...read(file).matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(
        (match) => match[1] ?? '',
      )
      const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(file), target)))
      expect(missing).to.deep.equal([])
    })

  for (const file of listMarkdown().filter((name) => name !== 'CHANGELOG.md'))
    it(`of code in ${file} are files that are there`, () => {
      const folders =
        'agent|bench|build|cli|cni-shim|core|kernel|lab|proto|sidecar|setup|store|test'
      const pattern = new RegExp(`\`((?:${folders})/[\\w./-]+\\.(?:ts|sh|pl|proto))\``, 'g')
      const named = [...read(file).matchAll(pattern)].map((match) => match[1] ?? '')
      expect(named.filter((path) => !existsSync(join(ROOT, path)))).to.deep.equal([])
    })
})
