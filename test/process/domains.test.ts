// What becomes of domain documents in the eyes of others: libxml2 and libvirt's schema. Golden ones are in
// test/fixtures/domain.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import fc from 'fast-check'
import { after, before, describe, it } from 'mocha'

import { toSchemaXml } from '../../lab/domain-schema.ts'
import {
  listOurAliases,
  listSamples,
  readSample,
  rewriteInTurn,
  toGoldenPath,
} from '../core/domain/corpus.ts'
import { build, scene } from '../core/domain/scenes.ts'

/** What virt-launcher writes and libvirt takes, though its schema does not have it. */
const TOLERATED = [
  [/<(bios|baseBoard|chassis)(?:><\/\1|\/)>/g, ''],
  [/(<hostdev [^>]*>\s*<source>\s*<address) type="pci"/g, '$1'],
] as const
/** Debian 12 has libvirt 9.0, whose schema lacks vhostuser with passt (11.1). */
const NEWER: readonly string[] = ['passt']

const INTERFACE = /<interface[\s>](?:(?!<\/interface>)[^])*<\/interface>/g

const ASIDE = /<!--[^]*?-->|<\?[^]*?\?>/g

function toCanonicalText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

/** Canonical XML without the interfaces of these aliases and with as little white space as can be. */
function withoutInterfaces(canonical: string, aliases: readonly string[]): string {
  const names = aliases.map((alias) => `<alias name="${alias}">`)
  return canonical
    .replaceAll(INTERFACE, (found) => (names.some((name) => found.includes(name)) ? '' : found))
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/ ?([<>]) ?/g, '$1')
}

describe('domains in the eyes of others', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'l2w-golden-'))
  })
  after(() => {
    rmSync(folder, { recursive: true })
  })

  function write(xml: string): string {
    const file = join(folder, 'domain.xml')
    writeFileSync(file, xml)
    return file
  }

  function canonicalize(xml: string): string {
    const canonical = execFileSync('xmllint', ['--c14n', write(xml)], { encoding: 'utf8' })
    // What stands in a comment is no tag.
    return canonical.replaceAll(ASIDE, (found) => found.replaceAll('<', '(').replaceAll('>', ')'))
  }

  for (const name of listSamples()) {
    const golden = readFileSync(toGoldenPath(name), 'utf8')
    const sample = readSample(name)

    it(`${name}: is the same canonical XML but for our interfaces`, () => {
      const ours = listOurAliases(sample)
      const want = withoutInterfaces(canonicalize(sample.xml), ours)
      expect(want).to.include('<devices>')
      expect(withoutInterfaces(canonicalize(golden), ours)).to.equal(want)
    })

    // KubeVirt asks again on what it has read of the answer.
    if (sample.xml.startsWith('<domain type="kvm" xmlns:qemu='))
      it(`${name}: needs no change when it comes back through virt-launcher's schema`, () => {
        const xml = toSchemaXml(golden)
        expect(rewriteInTurn({ ...sample, xml })).to.equal(xml)
      })

    it(`${name}: libvirt's schema takes it for a domain`, () => {
      const xml = TOLERATED.reduce((text, [what, by]) => text.replaceAll(what, by), golden)
      const told = spawnSync('virt-xml-validate', [write(xml), 'domain'], { encoding: 'utf8' })
      if (NEWER.includes(name)) expect(told.status, 'libvirt knows it now').to.not.equal(0)
      else expect(told.status, told.stderr).to.equal(0)
    })
  }

  it('random documents are the same canonical XML but for our interfaces', () => {
    // All in one document: a process for each would take a minute.
    const samples = fc.sample(scene, 300).map(build)
    const [before, after] = [
      samples.map(({ xml }) => xml),
      samples.map((each) => rewriteInTurn(each)),
    ].map((documents) => canonicalize(`<all>${documents.join('')}</all>`).split(/(?=<domain>)/))
    if (before === undefined || after === undefined) throw new Error('Nothing to compare')
    expect(before).to.have.length(samples.length + 1)
    for (const [index, each] of samples.entries()) {
      const ours = listOurAliases(each).map(toCanonicalText)
      const want = withoutInterfaces(before[index + 1] ?? '', ours)
      expect(withoutInterfaces(after[index + 1] ?? '', ours), each.xml).to.equal(want)
    }
  })

  it("holds documents of every architecture, and each of the models that KubeVirt's API admits", () => {
    const all = listSamples()
      .map((name) => readFileSync(toGoldenPath(name), 'utf8'))
      .join('')
    for (const arch of ['x86_64', 'aarch64', 's390x']) expect(all).to.include(`arch="${arch}"`)
    for (const model of ['e1000', 'e1000e', 'igb', 'rtl8139', 'pcnet', 'ne2k_pci'])
      expect(all).to.include(`<model type="${model}"/>`)
  })
})
