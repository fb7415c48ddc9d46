// What the documents promise and a test can look up.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CNI_CODE } from '../core/errors.ts'
import { VERSION } from '../core/version.ts'
import { FRAME_ROWS } from '../core/tester/frames.ts'

const ROOT = resolve(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

function listMarkdown(): readonly string[] {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  return files.filter((file) => file.endsWith('.md') && !/(^|\/)(node_modules|\.lab)\//.test(file))
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
    expect(keys).to.include.members(['wire', 'mtu', 'maxFrame', 'vni', 'socket', 'attach'])
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
  const kinds = [...read('core/trouble.ts').matchAll(/(?:kind: |\[\s*)'([a-z-]+)'/g)].map(
    (match) => match[1] ?? '',
  )
  for (const kind of new Set(kinds))
    it(`explains "${kind}"`, () => {
      expect(text).to.include(`\`${kind}\``)
    })

  const found = ['node', 'kernel', 'store', 'path'].flatMap((part) =>
    [...read(`core/doctor-${part}.ts`).matchAll(/newFinding\(\s*'([a-z-]+)'/g)].map(
      (match) => match[1] ?? '',
    ),
  )
  const [, chapter = ''] = text.split('## doctor')
  for (const kind of new Set(found))
    it(`explains what doctor finds as "${kind}"`, () => {
      expect(chapter).to.include(`\`${kind}\``)
    })

  it('has kinds that doctor finds', () => {
    expect(found).to.include.members(['vni-stray', 'peer-stray', 'claim-stray', 'port-closed'])
  })

  it('has kinds to explain', () => {
    expect(kinds).to.include.members(['no-far-end', 'third-end', 'redirect', 'refused'])
  })
})

describe('README.md', () => {
  const text = read('README.md')

  it('is read in one sitting', () => {
    expect(text.split('\n').length).to.be.lessThan(200)
  })

  it('has a YAML example on its first screen', () => {
    expect(text.split('\n').slice(0, 12).join('\n')).to.include('```yaml')
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
})
