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

function renderWide(attributes: number): string {
  return `<b${Array.from({ length: attributes }, (_, at) => ` a${at}=""`).join('')}></b>`
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

// Elements in elements, all of them plain. An attribute may be there twice.
const name = fc.constantFrom('a', 'ab', 'b', 'a.b:c-d')
const space = fc.constantFrom('', ' ', '\n\t')
const text = fc.constantFrom('', 'x', '\n\t', ' > &amp; "', '\u00e4\u20ac')
const attribute = fc
  .tuple(name, space, space, fc.constantFrom('"1"', "'2\"'", '"&lt;>"', '"\u00e4"'))
  .map(([key, before, behind, value]) => ` ${key}${before}=${behind}${value}`)
const tag = fc.tuple(name, fc.array(attribute, { maxLength: 4 }), space)
const { element } = fc.letrec<{ element: string; content: string }>((tie) => ({
  element: fc
    .tuple(tag, fc.option(tie('content'), { nil: undefined, maxDepth: 4 }))
    .map(([[own, attributes, blank], content]) => {
      const open = `<${own}${attributes.join('')}${blank}`
      return content === undefined ? `${open}/>` : `${open}>${content}</${own}>`
    }),
  content: fc
    .tuple(text, fc.array(fc.tuple(tie('element'), text), { maxLength: 4 }))
    .map(([first, rest]) => first + rest.flat().join('')),
}))

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

  it('reads every plain document that the parser reads', () => {
    fc.assert(
      fc.property(element, (xml) => {
        const root = readPlain(xml)
        expect(root === undefined ? undefined : show(root)).to.eql(showAny(xml))
      }),
      { numRuns: 1_000 },
    )
  })

  const read = [
    { name: 'hundreds of leaves in one element', xml: `<a>${'<b c="1">x</b>\n'.repeat(333)}</a>` },
    { name: 'leaves on both sides of others', xml: `<a>${'<b/><b/><b><c/></b>'.repeat(99)}</a>` },
    { name: 'ten attributes', xml: `<a>${renderWide(10)}</a>` },
    { name: 'names that begin alike', xml: '<a ab="1" a="2" abc="3"><b/></a>' },
    { name: 'as many levels as libvirt takes', xml: '<a>'.repeat(256) + '</a>'.repeat(256) },
  ]
  for (const { name: what, xml } of read)
    it(`reads ${what} as the parser does`, () => {
      const root = readPlain(xml)
      expect(root === undefined ? undefined : show(root)).to.eql(showAny(xml))
    })

  const left = [
    { name: 'nothing', xml: '' },
    { name: 'an attribute twice', xml: '<a b="1>2" b="2"/>' },
    { name: 'an attribute twice in a leaf', xml: '<a><b a="1" b="2" c="3" b ="2"/></a>' },
    { name: 'eleven attributes', xml: `<a>${renderWide(11)}</a>` },
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
  for (const { name: what, xml } of left)
    it(`leaves ${what} to the parser`, () => {
      expect(readPlain(xml)).to.equal(undefined)
    })
})
