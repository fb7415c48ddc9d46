// Plain documents are read without the parser: as it reads them, and none that it would refuse.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { readPlain } from '../../../core/domain/plain.ts'
import { parseAny, type XmlElement } from '../../../core/domain/tree.ts'
import { DecodeError } from '../../../core/errors.ts'

const FIXTURES = join(import.meta.dirname, '../../fixtures/domain')

function show(element: XmlElement): object {
  const { name, start, end, openEnd, contentEnd, isSelfClosing, attributes, children } = element
  const places = { name, start, end, openEnd, contentEnd, isSelfClosing }
  return { ...places, attributes, children: children.map(show) }
}

/** What the parser says: a tree, or that it refuses. */
function showAny(xml: string): object | undefined {
  try {
    return show(parseAny(xml))
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

// Pieces of tags, so that most documents are nearly right and some are.
const PIECES =
  '<a <b </a </b <a.b:c-d > /> / = " \' text & &amp; ]]> <!----> <![CDATA[<a>]]> <?pi?> ' +
  '</a> </b> <a> <b> <a/> \u{1f50c} \ufeff \u0085 \0'
const SPACED = [
  ' ',
  '\n',
  '\t',
  '\r',
  ' x="1"',
  " y='2'",
  ' x = "1>2"',
  ' z="\n"',
  ' z="&#34;&lt;"',
]
const SPACED_TOO = [' z="&#11;"', ' z="&e;"', '\u00a0', '<b x="1"></b>']
const piece = fc.constantFrom(...PIECES.split(' '), ...SPACED, ...SPACED_TOO)
const pieces = fc.array(piece, { maxLength: 12 }).map((each) => each.join(''))
const whole = pieces.map((inside) => `<a>${inside}</a>`)

describe('readPlain()', () => {
  for (const file of readdirSync(FIXTURES).filter((each) => each.endsWith('.xml')))
    it(`reads ${file} as the parser does, or leaves it to the parser`, () => {
      const xml = readFileSync(join(FIXTURES, file), 'utf8')
      const root = readPlain(xml)
      if (root !== undefined) expect(show(root)).to.eql(showAny(xml))
    })

  it('reads what virt-launcher writes', () => {
    for (const file of ['x86_64.in.xml', 'x86_64.out.xml'])
      expect(readPlain(readFileSync(join(FIXTURES, file), 'utf8'))?.name).to.equal('domain')
  })

  it('reads nothing otherwise than the parser does', () => {
    fc.assert(
      fc.property(fc.oneof(pieces, whole), (xml) => {
        const root = readPlain(xml)
        if (root !== undefined) expect(show(root)).to.eql(showAny(xml))
      }),
      { numRuns: 3_000 },
    )
  })

  const left = [
    { name: 'nothing', xml: '' },
    { name: 'an attribute twice', xml: '<a b="1>2" b="2"/>' },
    { name: 'a section', xml: '<a><![CDATA[</a>]]></a>' },
    { name: 'a comment', xml: '<a><!-- </a> --></a>' },
    { name: 'a declaration', xml: '<?xml version="1.0"?><a/>' },
    { name: 'a second root', xml: '<a/><a/>' },
    { name: 'text behind the root', xml: '<a/>x' },
    { name: 'a line break in a value', xml: '<a b="1\n2"/>' },
    { name: 'a carriage return', xml: '<a>\r\n</a>' },
    { name: 'an entity nobody defines', xml: '<a>&nbsp;</a>' },
    { name: 'an end that is another element', xml: '<a><b></a></b>' },
    { name: 'an end of a longer name', xml: '<a></ab>' },
    { name: 'more levels than libvirt takes', xml: '<a>'.repeat(300) + '</a>'.repeat(300) },
  ]
  for (const { name, xml } of left)
    it(`leaves ${name} to the parser`, () => {
      expect(readPlain(xml)).to.equal(undefined)
    })
})
