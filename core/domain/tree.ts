// XML text -> where its elements lie in that text. The only file that knows the parser. It never
// turns a tree back into text: what is not edited stays as it came (docs/decisions/0003).
import { parseXml, XmlElement as ParsedElement, XmlError } from '@rgrove/parse-xml'

import { DecodeError } from '../errors.ts'
import { readPlain } from './plain.ts'
import { scanStartTag, type StartTag } from './start-tag.ts'

/** An attribute's decoded value, and its place: from its name's first character to behind its closing quote. */
export interface XmlAttribute {
  readonly name: string
  readonly value: string
  readonly start: number
  readonly end: number
  /** The text between the quotes as it stands in the document. */
  readonly valueStart: number
  readonly valueEnd: number
}

/** An element and its place in the text, in UTF-16 units as String.slice counts them. */
export interface XmlElement {
  readonly name: string
  readonly start: number
  readonly end: number
  /** Behind the ">" of the start tag, or of the empty-element tag. */
  readonly openEnd: number
  /** Where the end tag begins; openEnd for an empty-element tag. */
  readonly contentEnd: number
  readonly isSelfClosing: boolean
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly XmlElement[]
}

// The parser needs about 320 bytes per element (200,000 elements: 64 MB, 2026-11) and the sidecar
// lives on 64 MB. A domain with 250 disks and as many
// host devices has about 10,000 tags.
const MAX_TAGS = 20_000
// About 20 bytes each.
const MAX_REFERENCES = 100_000

/** As much of the document as an error message may need. */
const EXCERPT = 200

/** Finds the root element; throws DecodeError unless the text is one well-formed XML document. */
export function parseTree(xml: string): XmlElement {
  refuseMoreThan(MAX_TAGS, 'tags', xml, '<')
  refuseMoreThan(MAX_REFERENCES, 'entity references', xml, '&')
  return readPlain(xml) ?? parseAny(xml)
}

/** By the parser, which takes 60 ms for 200 KB in the sidecar. */
export function parseAny(xml: string): XmlElement {
  const root = parse(xml).root
  if (root === null) throw new DecodeError('domain XML', xml.slice(0, EXCERPT), 'a root element')
  return new LazyElement(xml, root)
}

/** The value of an attribute, entities resolved; undefined when the element does not have it. */
export function findAttribute(element: XmlElement, name: string): string | undefined {
  return element.attributes.find((attribute) => attribute.name === name)?.value
}

/** The first child element of that name. */
export function findChild(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name)
}

function parse(xml: string) {
  try {
    return parseXml(xml, {
      includeOffsets: true,
      // Only a DTD can define entities; what they stand for never matters here. Without a DTD an
      // unknown entity is an error, as the XML specification demands.
      ignoreUndefinedEntities: xml.includes('<!DOCTYPE'),
    })
  } catch (cause) {
    if (cause instanceof XmlError) {
      // The message goes on with an excerpt of the document on further lines.
      const [reason = ''] = cause.message.split('\n')
      throw new DecodeError('domain XML', xml.slice(0, EXCERPT), `well-formed XML: ${reason}`, {
        cause,
      })
    }
    // The parser calls itself once per level; libvirt's own limit is 256 levels.
    if (cause instanceof RangeError) {
      throw new DecodeError('domain XML', xml.slice(0, EXCERPT), 'elements nested less deeply', {
        cause,
      })
    }
    throw cause
  }
}

function refuseMoreThan(max: number, what: string, xml: string, mark: string): void {
  let count = 0
  for (let at = xml.indexOf(mark); at !== -1; at = xml.indexOf(mark, at + 1)) count += 1
  if (count > max) throw new DecodeError('domain XML', `${count} ${what}`, `at most ${max}`)
}

// A domain has a thousand elements and we look at twenty: attributes and children are worked out
// when asked for.
class LazyElement implements XmlElement {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly #xml: string
  readonly #parsed: ParsedElement
  #startTag: StartTag | undefined
  #children: readonly XmlElement[] | undefined

  constructor(xml: string, parsed: ParsedElement) {
    this.name = parsed.name
    this.start = parsed.start
    // parse-xml 4 and 5 answer Infinity for what ends with the text when the text has characters
    // outside the Basic Multilingual Plane.
    this.end = Math.min(parsed.end, xml.length)
    this.#xml = xml
    this.#parsed = parsed
  }

  get openEnd(): number {
    return this.#scan().openEnd
  }

  get isSelfClosing(): boolean {
    return this.openEnd === this.end
  }

  get contentEnd(): number {
    return this.isSelfClosing ? this.openEnd : this.#xml.lastIndexOf('</', this.end - 1)
  }

  get attributes(): readonly XmlAttribute[] {
    return this.#scan().attributes
  }

  get children(): readonly XmlElement[] {
    this.#children ??= this.#parsed.children
      .filter((child) => child instanceof ParsedElement)
      .map((child) => new LazyElement(this.#xml, child))
    return this.#children
  }

  #scan(): StartTag {
    this.#startTag ??= scanStartTag(
      this.#xml,
      this.#parsed,
      (name) => this.#parsed.attributes[name] ?? '',
    )
    return this.#startTag
  }
}
