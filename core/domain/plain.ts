// Documents of the shape that virt-launcher writes, read in a sixth of the parser's time: elements,
// attributes and text, without comments, sections, declarations and rare characters. What is of another
// shape, or wrong, is the parser's to read, or to refuse.
import { scanStartTag } from './start-tag.ts'
import type { XmlAttribute, XmlElement } from './tree.ts'

/** libvirt's own limit. */
const MAX_DEPTH = 256

const SPACE = String.raw`[ \t\n]`
const NAME = String.raw`[A-Za-z_][\w.:-]*`
// A tab or line break in a value stands for a blank.
const VALUE = String.raw`(?:"[^"<\t\n]*"|'[^'<\t\n]*')`
/** More in one element are the parser's to read. */
const MOST_ATTRIBUTES = 10
const ATTRIBUTE = `(?:${SPACE}+(${NAME})${SPACE}*=${SPACE}*${VALUE})?`
const START_TAG = new RegExp(`<(${NAME})${ATTRIBUTE.repeat(MOST_ATTRIBUTES)}${SPACE}*/?>`, 'y')
const RARE = /[^\t\n\u0020-\u007e\u00a0-\ud7ff\ue000-\ufefe]/
/** Those of them that ASCII has. Looked for one by one: in the sidecar ten times as fast as by the expression. */
const RARE_ASCII = Array.from({ length: 128 }, (_, code) => String.fromCodePoint(code)).filter(
  (character) => RARE.test(character),
)
const OTHER_REFERENCE = /&(?!(?:amp|lt|gt|quot|apos|#34|#39);)/
const CHARACTERS: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#34;': '"',
  '&apos;': "'",
  '&#39;': "'",
}

// Where the elements are, a row of numbers each in the order of their start tags: in the sidecar objects cost
// more than reading does, since each collection of garbage moves them.
const START = 0
const NAME_END = 1
const OPEN_END = 2
const CONTENT_END = 3
const END = 4
const ROW = 5

interface Plain {
  readonly xml: string
  readonly rows: Int32Array
}

/** The root element; undefined for what the parser has to look at. */
export function readPlain(xml: string): XmlElement | undefined {
  if (hasRare(xml) || xml.includes(']]>')) return undefined
  if (xml.includes('&') && OTHER_REFERENCE.test(xml)) return undefined
  const rows = findElements(xml)
  return rows === undefined ? undefined : new PlainElement({ xml, rows }, 0)
}

function hasRare(xml: string): boolean {
  const isAscii = Buffer.byteLength(xml) === xml.length
  return isAscii ? RARE_ASCII.some((character) => xml.includes(character)) : RARE.test(xml)
}

function countStarts(xml: string): number {
  let count = 0
  for (let at = xml.indexOf('<'); at !== -1; at = xml.indexOf('<', at + 1))
    if (xml.charCodeAt(at + 1) !== SLASH) count += 1
  return count
}

const SLASH = 0x2f
const CLOSE = 0x3e

function findElements(xml: string): Int32Array | undefined {
  const rows = new Int32Array(countStarts(xml) * ROW)
  const open: number[] = []
  let next = 0
  let parent: number | undefined
  let name = ''
  let at = 0
  for (let start = xml.indexOf('<'); start !== -1; start = xml.indexOf('<', at)) {
    if (parent === undefined && (next > 0 || !isBlank(xml.slice(at, start)))) return undefined
    if (xml.charCodeAt(start + 1) === SLASH) {
      if (parent === undefined || !xml.startsWith(name, start + 2)) return undefined
      at = start + 2 + name.length
      if (xml.charCodeAt(at) !== CLOSE) return undefined
      at += 1
      rows[parent + CONTENT_END] = start
      rows[parent + END] = at
      open.pop()
      parent = open.at(-1)
      if (parent !== undefined) name = getName(xml, rows, parent)
    } else {
      START_TAG.lastIndex = start
      const tag = START_TAG.exec(xml)
      const found = tag?.[1]
      if (tag === null || found === undefined || hasTwice(tag)) return undefined
      at = START_TAG.lastIndex
      rows[next + START] = start
      rows[next + NAME_END] = start + 1 + found.length
      rows[next + OPEN_END] = at
      rows[next + CONTENT_END] = at
      rows[next + END] = at
      if (xml.charCodeAt(at - 2) !== SLASH) {
        if (open.push(next) > MAX_DEPTH) return undefined
        parent = next
        name = found
      }
      next += ROW
    }
  }
  return parent === undefined && next > 0 && isBlank(xml.slice(at)) ? rows : undefined
}

/** Whether an attribute is there twice; names of attributes are what was found from 2 on. */
function hasTwice(found: readonly (string | undefined)[]): boolean {
  for (let at = 2; found[at] !== undefined; at += 1)
    if (found.indexOf(found[at], at + 1) !== -1) return true
  return false
}

function getName(xml: string, rows: Int32Array, row: number): string {
  return xml.slice((rows[row + START] ?? 0) + 1, rows[row + NAME_END])
}

function isBlank(text: string): boolean {
  return /^[ \t\n]*$/.test(text)
}

// A domain has a thousand elements and we look at twenty.
class PlainElement implements XmlElement {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly openEnd: number
  readonly contentEnd: number
  readonly #plain: Plain
  readonly #row: number
  #attributes: readonly XmlAttribute[] | undefined
  #children: readonly XmlElement[] | undefined

  constructor(plain: Plain, row: number) {
    const { xml, rows } = plain
    this.#plain = plain
    this.#row = row
    this.name = getName(xml, rows, row)
    this.start = rows[row + START] ?? 0
    this.end = rows[row + END] ?? 0
    this.openEnd = rows[row + OPEN_END] ?? 0
    this.contentEnd = rows[row + CONTENT_END] ?? 0
  }

  get isSelfClosing(): boolean {
    return this.openEnd === this.end
  }

  get attributes(): readonly XmlAttribute[] {
    this.#attributes ??= scanStartTag(this.#plain.xml, this, (_, text) =>
      decodeReferences(text),
    ).attributes
    return this.#attributes
  }

  get children(): readonly XmlElement[] {
    this.#children ??= this.#findChildren()
    return this.#children
  }

  #findChildren(): readonly XmlElement[] {
    const { rows } = this.#plain
    const children: XmlElement[] = []
    let past = this.openEnd
    for (let row = this.#row + ROW; row < rows.length; row += ROW) {
      const start = rows[row + START] ?? 0
      if (start >= this.end) break
      // What begins before the last child's end is in that child.
      if (start < past) continue
      past = rows[row + END] ?? 0
      children.push(new PlainElement(this.#plain, row))
    }
    return children
  }
}

function decodeReferences(text: string): string {
  return text.replaceAll(/&[^;]*;/g, (reference) => CHARACTERS[reference] ?? reference)
}
