// Finds the positions of elements in XML text. Only this file knows the parser. It never turns a tree back into
// text, so text without edits stays unchanged (docs/decisions/0003).
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import type { XMLMetaData } from 'fast-xml-parser'

import { DecodeError } from '../errors.ts'
import { decodeValue, newMalformedError, toTagsAlone } from './well-formed.ts'

/**
 * An attribute's decoded value and its range: from its name's first character to just after its closing quote.
 */
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
  /** Just after the ">" of the start tag, or of the empty-element tag. */
  readonly openEnd: number
  /** Where the end tag begins; equals openEnd for an empty-element tag. */
  readonly contentEnd: number
  readonly isSelfClosing: boolean
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly XmlElement[]
}

// The sidecar runs in 64 MB, and a tree has some hundred bytes for each tag. A domain with 250 disks and as
// many host devices has about 10,000 tags.
const MAX_TAGS = 20_000
// About 20 bytes each.
const MAX_REFERENCES = 100_000
/** libvirt's own limit. */
const MAX_DEPTH = 256

const ATTRIBUTE = /\s+([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y
const NAME = /[^\s/>]+/y

const METADATA = XMLParser.getMetaDataSymbol() as symbol
const PARSER = new XMLParser({
  preserveOrder: true,
  captureMetaData: true,
  ignoreAttributes: false,
  // With this option it refuses "__proto__", which the validator accepts twice in one tag.
  attributeNamePrefix: '',
  processEntities: false,
  maxNestedTags: MAX_DEPTH,
})

/** A node of the parser's. An element's children are under its name, and only elements have metadata. */
type ParsedNode = Readonly<Record<string, readonly ParsedNode[]>> & {
  readonly [METADATA]?: XMLMetaData
}

/** Finds the root element. Throws DecodeError unless the text is one well-formed XML document. */
export function parseTree(xml: string): XmlElement {
  refuseMoreThan(MAX_TAGS, 'tags', xml, '<')
  refuseMoreThan(MAX_REFERENCES, 'entity references', xml, '&')
  const [root] = toElements(xml, parse(xml, toTagsAlone(xml)))
  if (root === undefined) throw newMalformedError(xml, 'a root element')
  return root
}

/** The value of an attribute, entities resolved; undefined if the element does not have it. */
export function findAttribute(element: XmlElement, name: string): string | undefined {
  return element.attributes.find((attribute) => attribute.name === name)?.value
}

/** The first child element of that name. */
export function findChild(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name)
}

/** Each node with its position, which is the same in both texts. */
function parse(xml: string, tags: string): readonly ParsedNode[] {
  const valid = XMLValidator.validate(tags)
  if (valid !== true) {
    const { msg, line, col } = valid.err
    throw newMalformedError(xml, `${msg} (line ${line}, column ${col})`)
  }
  try {
    return PARSER.parse(tags) as readonly ParsedNode[]
  } catch (cause) {
    // The parser has no error class of its own.
    throw newMalformedError(xml, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function toElements(xml: string, nodes: readonly ParsedNode[]): readonly XmlElement[] {
  return nodes
    .filter((node) => node[METADATA] !== undefined)
    .map((node) => new LazyElement(xml, node))
}

function refuseMoreThan(max: number, what: string, xml: string, mark: string): void {
  let count = 0
  for (let at = xml.indexOf(mark); at !== -1; at = xml.indexOf(mark, at + 1)) count += 1
  if (count > max) throw new DecodeError('domain XML', `${count} ${what}`, `at most ${max}`)
}

// A domain has a thousand elements and we read twenty, so attributes and children are computed on demand.
class LazyElement implements XmlElement {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly #xml: string
  readonly #node: ParsedNode
  #attributes: readonly XmlAttribute[] | undefined
  #children: readonly XmlElement[] | undefined

  constructor(xml: string, node: ParsedNode) {
    const { startIndex = 0, endIndex = xml.length } = node[METADATA] ?? {}
    this.start = startIndex
    this.end = endIndex
    // The parser renames keys that every JavaScript object has.
    NAME.lastIndex = startIndex + 1
    this.name = NAME.exec(xml)?.[0] ?? ''
    this.#xml = xml
    this.#node = node
  }

  get openEnd(): number {
    return this.#xml.indexOf('>', this.attributes.at(-1)?.end ?? this.start) + 1
  }

  get isSelfClosing(): boolean {
    return this.openEnd === this.end
  }

  get contentEnd(): number {
    return this.isSelfClosing ? this.openEnd : this.#xml.lastIndexOf('</', this.end - 1)
  }

  get attributes(): readonly XmlAttribute[] {
    this.#attributes ??= scanAttributes(this.#xml, this.start + 1 + this.name.length)
    return this.#attributes
  }

  get children(): readonly XmlElement[] {
    // Under the element's name; ":@" has the attributes.
    this.#children ??= toElements(this.#xml, Object.values(this.#node).find(Array.isArray) ?? [])
    return this.#children
  }
}

/**
 * The attributes of a start tag, from behind its name. The tag is well-formed, so quotes are enough to find
 * them.
 */
function scanAttributes(xml: string, from: number): readonly XmlAttribute[] {
  const attributes: XmlAttribute[] = []
  ATTRIBUTE.lastIndex = from
  for (let match = ATTRIBUTE.exec(xml); match !== null; match = ATTRIBUTE.exec(xml)) {
    const [whole, name = '', double, single = ''] = match
    const text = double ?? single
    const end = match.index + whole.length
    attributes.push({
      name,
      value: decodeValue(text),
      start: match.index + whole.search(/\S/),
      end,
      valueStart: end - 1 - text.length,
      valueEnd: end - 1,
    })
  }
  return attributes
}
