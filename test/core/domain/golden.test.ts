// Whole documents as virt-launcher sends them. A golden file changes by a reviewed edit only: npm run golden.
import { readFileSync } from 'node:fs'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { OUR_BINDINGS } from '../../../core/domain/bindings.ts'
import { listSamples, readSample, rewriteAtOnce, rewriteInTurn, toGoldenPath } from './corpus.ts'

describe('rewriteDomain() on whole documents', () => {
  for (const name of listSamples()) {
    const sample = readSample(name)
    const want = readFileSync(toGoldenPath(name), 'utf8')

    it(`${name}: gives the golden document`, () => {
      expect(rewriteInTurn(sample)).to.equal(want)
    })
    it(`${name}: gives it in either order of the sidecars`, () => {
      expect(rewriteInTurn(sample, OUR_BINDINGS.toReversed())).to.equal(want)
    })
    it(`${name}: gives it where one hook serves all bindings`, () => {
      expect(rewriteAtOnce(sample)).to.equal(want)
    })
    it(`${name}: leaves the golden document as it is`, () => {
      expect(rewriteInTurn({ ...sample, xml: want })).to.equal(want)
    })
    it(`${name}: is left as it is by the sidecar of a binding that it does not name`, () => {
      expect(rewriteInTurn(sample, ['somebody-else'])).to.equal(sample.xml)
    })
  }
})
