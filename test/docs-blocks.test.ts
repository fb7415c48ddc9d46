// What documents show and point at: YAML that is none, a key that no plugin knows, a heading that is not there.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'
import { parseAllDocuments } from 'yaml'

import { decodePluginConfig } from '../core/cni/config.ts'
import type { CniArgs } from '../core/cni/env.ts'
import type { Record_ } from '../core/record.ts'

const ROOT = resolve(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
// A running cluster has whole Debians in .lab.
const OTHERS = ['node_modules', '.lab', '.git', 'dist']
const FILES = globSync('**/*.md', {
  cwd: ROOT,
  exclude: (path) => OTHERS.includes(basename(path)),
})

const ARGS: CniArgs = {
  command: 'ADD',
  containerID: 'c1',
  netns: '/run/netns/a',
  ifname: 'eth1',
  path: '',
  args: '',
}

const listBlocks = (file: string): readonly string[] =>
  [...read(file).matchAll(/^```yaml\n([^]*?)^```/gm)].map((match) => match[1] ?? '')

/** Configurations of plugins that the documents show, in manifests and by themselves. */
function listConfigs(file: string): readonly Record_[] {
  const shown = [...read(file).matchAll(/'(\{ ?"cniVersion.*?\})'|^ {4}(\{"cniVersion.*\})$/gm)]
  return shown.map((match) => JSON.parse(match[1] ?? match[2] ?? '') as Record_)
}

/** With what KubeVirt adds to the binding's. */
function toPassed(config: Record_): Record_ {
  const args = { cni: { logicNetworkName: 'ge0' } }
  return config['type'] === 'l2wire-bind' ? { ...config, args } : config
}

/** As GitHub names headings. */
function listAnchors(path: string): readonly string[] {
  const headings = [...read(path).matchAll(/^#+ (.*)$/gm)].map((match) => match[1] ?? '')
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )
}

describe('documents', () => {
  for (const file of FILES.filter((each) => listBlocks(each).length > 0))
    it(`the YAML of ${file} is YAML`, () => {
      for (const block of listBlocks(file))
        for (const document of parseAllDocuments(block))
          expect(document.errors, block).to.deep.equal([])
    })

  for (const file of FILES.filter((each) => listConfigs(each).length > 0))
    it(`the configurations of ${file} are what the plugins take`, () => {
      for (const config of listConfigs(file)) {
        const { unknownKeys } = decodePluginConfig(toPassed(config), ARGS)
        expect(unknownKeys, JSON.stringify(config)).to.deep.equal([])
      }
    })

  for (const file of FILES)
    it(`places that ${file} points at are headings`, () => {
      const places = [...read(file).matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)].map(
        ([, target = '', anchor = '']) =>
          [target === '' ? file : join(dirname(file), target), anchor] as const,
      )
      const missing = places
        .map(([target, anchor]) => {
          const path = target.endsWith('.md') ? target : join(target, 'README.md')
          return existsSync(join(ROOT, path)) && listAnchors(path).includes(anchor)
            ? undefined
            : `${target}#${anchor}`
        })
        .filter((each) => each !== undefined)
      expect(missing).to.deep.equal([])
    })

  it('show configurations and point at headings at all', () => {
    expect(FILES.filter((file) => listConfigs(file).length > 0)).to.include.members([
      'README.md',
      'docs/configuration.md',
      'docs/macvtap.md',
    ])
    expect(listAnchors('docs/operations.md')).to.include('selinux-apparmor-cgroups')
  })
})
