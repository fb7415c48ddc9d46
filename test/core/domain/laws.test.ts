import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { OUR_BINDINGS } from '../../../core/domain/bindings.ts'
import type { XmlElement } from '../../../core/domain/tree.ts'
import { findAttribute, findChild, parseTree } from '../../../core/domain/tree.ts'
import { listOurAliases, rewriteAtOnce, rewriteInTurn } from './corpus.ts'
import { build, scene } from './scenes.ts'

/** The document's interfaces of these aliases, in the order they stand in. */
function findInterfaces(xml: string, aliases: readonly string[]): XmlElement[] {
  const elements = findChild(parseTree(xml), 'devices')?.children ?? []
  return elements
    .filter(({ name }) => name === 'interface')
    .filter((element) => aliases.includes(getAlias(element)))
}

function getAlias(element: XmlElement): string {
  const alias = findChild(element, 'alias')
  return alias === undefined ? '' : (findAttribute(alias, 'name') ?? '')
}

/** The text before, between and behind the interfaces of these aliases. */
function cut(xml: string, aliases: readonly string[]): string[] {
  const pieces: string[] = []
  let at = 0
  for (const { start, end } of findInterfaces(xml, aliases)) {
    pieces.push(xml.slice(at, start))
    at = end
  }
  return [...pieces, xml.slice(at)]
}

const SPACE = /^[ \t\r\n]+|[ \t\r\n]+$/g

/** Every byte of the one is in the other, but for white space where an interface of ours was put in. */
function expectSameBytes(before: string, after: string, aliases: readonly string[]): void {
  let rest = cut(before, aliases).join('')
  for (const piece of cut(after, aliases).map((text) => text.replaceAll(SPACE, ''))) {
    rest = rest.replaceAll(SPACE, '')
    expect(rest.slice(0, piece.length)).to.equal(piece)
    rest = rest.slice(piece.length)
  }
  expect(rest.replaceAll(SPACE, '')).to.equal('')
}

describe('rewriteDomain()', () => {
  it('changes nothing when it runs on its own output', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const sample = build(each)
        const xml = rewriteInTurn(sample)
        expect(rewriteInTurn({ ...sample, xml })).to.equal(xml)
      }),
      { numRuns: 200 },
    )
  })

  it('changes no byte of what is not ours', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const sample = build(each)
        expectSameBytes(sample.xml, rewriteInTurn(sample), listOurAliases(sample))
      }),
      { numRuns: 200 },
    )
  })

  it('gives the same whichever sidecar is asked first, and where one hook serves all bindings', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const sample = build(each)
        const xml = rewriteInTurn(sample)
        expect(rewriteInTurn(sample, OUR_BINDINGS.toReversed())).to.equal(xml)
        expect(rewriteAtOnce(sample)).to.equal(xml)
      }),
      { numRuns: 200 },
    )
  })

  it('has each NIC of ours once', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const sample = build(each)
        const ours = listOurAliases(sample)
        const found = findInterfaces(rewriteInTurn(sample), ours).map(getAlias)
        expect(found.toSorted()).to.deep.equal(ours.toSorted())
      }),
      { numRuns: 100 },
    )
  })

  it('keeps what other hooks have put into an interface of ours', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const sample = build(each)
        const xml = rewriteInTurn(sample)
        const ours = findInterfaces(xml, listOurAliases(sample))
        for (const { name, isInDomain, attribute, kept } of each.ifaces) {
          const element = ours.find((one) => getAlias(one) === `ua-${name}`)
          if (element === undefined || !isInDomain) continue
          const text = xml.slice(element.start, element.end)
          expect(text.includes(attribute)).to.equal(true)
          // In the order they came in.
          const places = kept.map((one) => text.indexOf(one))
          expect(places).to.not.include(-1)
          expect(places).to.deep.equal(places.toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 200 },
    )
  })

  it('returns the document as it came when no NIC is ours', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const ifaces = each.ifaces.map((iface) => ({ ...iface, binding: 'other' as const }))
        const sample = build({ ...each, ifaces })
        expect(rewriteInTurn(sample)).to.equal(sample.xml)
      }),
      { numRuns: 100 },
    )
  })
})
