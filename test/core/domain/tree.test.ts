import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseTree } from '../../../core/domain/tree.ts'
import type { XmlElement } from '../../../core/domain/tree.ts'
import { DecodeError } from '../../../core/errors.ts'
import { newDomain, newVmi, rewrite } from './samples.ts'

function show(xml: string, element: XmlElement): object {
  return {
    text: xml.slice(element.start, element.end),
    content: xml.slice(element.openEnd, element.contentEnd),
    attributes: element.attributes.map(({ name, value, start, end, valueStart, valueEnd }) => {
      return [name, value, xml.slice(start, end), xml.slice(valueStart, valueEnd)]
    }),
  }
}

describe('parseTree()', () => {
  const rows = [
    { name: 'an empty element', xml: '<a/>', text: '<a/>', content: '', attributes: [] },
    {
      name: 'an element closed at once',
      xml: '<a></a>',
      text: '<a></a>',
      content: '',
      attributes: [],
    },
    {
      name: 'an element in its like',
      xml: '<a><a></a></a>',
      text: '<a><a></a></a>',
      content: '<a></a>',
      attributes: [],
    },
    {
      name: 'attributes in both quotes, with white space and entities',
      xml: `<a b = "1>2"\n c='&lt;"'/>`,
      text: `<a b = "1>2"\n c='&lt;"'/>`,
      content: '',
      attributes: [
        ['b', '1>2', 'b = "1>2"', '1>2'],
        ['c', '<"', `c='&lt;"'`, '&lt;"'],
      ],
    },
    {
      name: 'a slash in the last attribute',
      xml: '<a b="/">x</a>',
      text: '<a b="/">x</a>',
      content: 'x',
      attributes: [['b', '/', 'b="/"', '/']],
    },
    {
      name: 'white space in the end tag',
      xml: '<a>x</a\n>',
      text: '<a>x</a\n>',
      content: 'x',
      attributes: [],
    },
    {
      name: 'a document that ends in an astral character',
      xml: '<a>\u{1f50c}</a>',
      text: '<a>\u{1f50c}</a>',
      content: '\u{1f50c}',
      attributes: [],
    },
    {
      name: 'what follows astral characters',
      xml: '<!--\u{1f50c}\u{1f50c}--><a b="\u{1f50c}">é</a>',
      text: '<a b="\u{1f50c}">é</a>',
      content: 'é',
      attributes: [['b', '\u{1f50c}', 'b="\u{1f50c}"', '\u{1f50c}']],
    },
    {
      name: 'a root behind BOM, declaration and DTD',
      xml: '\ufeff<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
      text: '<a>&e;</a>',
      content: '&e;',
      attributes: [],
    },
  ]
  for (const { name, xml, ...want } of rows) {
    it(`finds ${name}`, () => {
      expect(show(xml, parseTree(xml))).to.eql(want)
    })
  }

  const refused = [
    {
      name: 'nothing',
      xml: '',
      says: 'it is "", expected well-formed XML: Root element is missing',
    },
    { name: 'text', xml: 'no XML', says: 'it is "no XML", expected well-formed XML' },
    {
      name: 'an element that stays open',
      xml: '<domain><name>x</domain>',
      says: "closing tag 'name' (opened in line 1, col 9) instead of closing tag 'domain'",
    },
    { name: 'two roots', xml: '<a/><b/>', says: 'A start tag has no place here' },
    { name: 'an attribute twice', xml: '<a b="1" b="2"/>', says: "Attribute 'b' is repeated" },
    { name: 'an entity nobody defines', xml: '<a>&nbsp;</a>', says: 'Reference to nothing' },
    { name: 'a NUL', xml: '<a>\0</a>', says: 'Invalid character' },
    {
      name: 'elements nested too deeply',
      xml: '<a>'.repeat(9_999) + '</a>'.repeat(9_999),
      says: 'Maximum nested tags exceeded',
    },
    {
      name: 'more tags than memory allows',
      xml: `<a>${'<b/>'.repeat(30_000)}</a>`,
      says: 'it is "30002 tags", expected at most 20000',
    },
    {
      name: 'more entities than memory allows',
      xml: `<a>${'&lt;'.repeat(100_001)}</a>`,
      says: 'it is "100001 entity references"',
    },
  ]
  for (const { name, xml, says } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => parseTree(xml)).to.throw(DecodeError, says)
    })
  }
})

describe('rewriteDomain() refuses', () => {
  const iface = '<interface><alias name="ua-x"/></interface>'
  const rows = [
    {
      name: 'another root',
      xml: '<domains/>',
      says: 'it is "<domains>", expected a <domain> as root element',
    },
    {
      name: 'a domain without devices',
      xml: '<domain/>',
      says: 'Cannot decode "domain/devices": it is missing',
    },
    {
      name: 'two interfaces with one alias',
      xml: newDomain(iface + iface),
      says: 'it is "ua-x", expected a name that no other',
    },
  ]
  for (const { name, xml, says } of rows) {
    it(name, () => {
      expect(() => rewrite(xml, newVmi())).to.throw(DecodeError, says)
    })
  }
})
