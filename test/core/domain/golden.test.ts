// Whole documents as virt-launcher v1.9 sends them. A golden file changes by a reviewed edit only.
import { readFileSync } from 'node:fs'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { LinkFacts } from '../../../core/domain/nic.ts'
import { newLinks, newVmi, rewrite } from './samples.ts'

function readFixture(name: string): string {
  return readFileSync(new URL(`../../fixtures/domain/${name}`, import.meta.url), 'utf8')
}

describe('rewriteDomain() on whole documents', () => {
  const rows = [
    { name: 'x86_64: a domain as Go indents it, with a placeholder', file: 'x86_64' },
    { name: 'arm64: transitional, on the pod network, ordinal names', file: 'arm64' },
    { name: 'odd: BOM, CDATA, comments, entities, qemu:commandline', file: 'odd' },
  ]
  for (const { name, file } of rows) {
    const xml = readFixture(`${file}.in.xml`)
    const vmi = JSON.parse(readFixture(`${file}.vmi.json`)) as object
    const facts = JSON.parse(readFixture(`${file}.links.json`)) as Record<string, LinkFacts>
    it(name, () => {
      const want = readFixture(`${file}.out.xml`)
      expect(rewrite(xml, vmi, newLinks(facts)).xml).to.equal(want)
      expect(rewrite(want, vmi, newLinks(facts)).xml).to.equal(want)
    })
    it(`${name}: unchanged when no NIC is ours`, () => {
      const other = newVmi({ interfaces: [{ name: 'mgmt', masquerade: {} }] })
      expect(rewrite(xml, other, newLinks(facts)).xml).to.equal(xml)
    })
  }
})
