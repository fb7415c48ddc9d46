// Documents of the shape that virt-launcher writes, read in a fiftieth of the parser's time: elements,
// attributes and text, without comments, sections, declarations and rare characters. What is of another
// shape, or wrong, is the parser's to read, or to refuse.
import { scanStartTag } from './start-tag.ts'
import type { XmlAttribute, XmlElement } from './tree.ts'

/** libvirt's own limit. */
const MAX_DEPTH = 256
/** More in one element are the parser's to read. */
const MOST_ATTRIBUTES = 10

const SPACE = String.raw`[ \t\n]`
const NAME = String.raw`[A-Za-z_][\w.:-]*`
const TEXT = String.raw`[\t\n -;=-~\u00a0-\ud7ff\ue000-\ufefe]*`
// A tab or line break in a value stands for a blank.
const VALUE =
  String.raw`(?:"[ !#-;=-~\u00a0-\ud7ff\ue000-\ufefe]*"` +
  String.raw`|'[ -&(-;=-~\u00a0-\ud7ff\ue000-\ufefe]*')`
const END_OF_NAME = String.raw`[ \t\n=]`

/** None, or some, and none of them twice. The names are groups, from this number on. */
function renderAttributes(group: number): string {
  let text = ''
  for (let nth = MOST_ATTRIBUTES - 1; nth >= 0; nth -= 1) {
    const earlier = Array.from({ length: nth }, (_, at) => `(?!\\${group + at}${END_OF_NAME})`)
    text = `(?:${SPACE}+${earlier.join('')}(${NAME})${SPACE}*=${SPACE}*${VALUE}${text})?`
  }
  return text
}

// Each is asked where what is there ends, no more: arrays of what groups have found are garbage, and thousands of them
// make V8 collect it in the middle of a call.
const TAG_HERE = new RegExp(`<${NAME}${renderAttributes(1)}${SPACE}*/?>`, 'y')
const LEAF = String.raw`<(${NAME})${renderAttributes(2)}${SPACE}*(?:/>|>${TEXT}</\1>)`
const LEAF_HERE = new RegExp(LEAF, 'y')
/** V8 remembers of each where it might have matched otherwise: 1.5 KB of one with ten attributes. */
const MOST_LEAVES = 50
/** Most elements are leaves, and stand beside others. */
const LEAVES_HERE = new RegExp(`(?:${TEXT}${LEAF}){0,${MOST_LEAVES}}${TEXT}`, 'y')
const NAME_HERE = new RegExp(NAME, 'y')
const BLANK_HERE = new RegExp(`${SPACE}*`, 'y')
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
const OPEN = 0x3c
const CLOSE = 0x3e
const SLASH = 0x2f

/** Where what is found there ends; -1 where it is not there. */
function findEnd(pattern: RegExp, xml: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(xml) ? pattern.lastIndex : -1
}

// Where elements are, two numbers each in the order of their start tags: objects cost more than reading does. Leaves have
// none, but for the first behind every fifty: they are found again when somebody looks for them.
const START = 0
const END = 1
const ROW = 2

interface Plain {
  readonly xml: string
  readonly rows: readonly number[]
}

/** The root element; undefined for what the parser has to look at. */
export function readPlain(xml: string): XmlElement | undefined {
  if (xml.includes(']]>')) return undefined
  if (xml.includes('&') && OTHER_REFERENCE.test(xml)) return undefined
  const rows = findElements(xml)
  return rows === undefined ? undefined : new PlainElement({ xml, rows }, 0)
}

function findElements(xml: string): readonly number[] | undefined {
  const rows: number[] = []
  const open: number[] = []
  const names: string[] = []
  let at = findEnd(BLANK_HERE, xml, 0)
  do {
    if (xml.charCodeAt(at) !== OPEN) return undefined
    const name = names.at(-1)
    if (name !== undefined && xml.charCodeAt(at + 1) === SLASH) {
      const close = at + 2 + name.length
      if (!xml.startsWith(name, at + 2) || xml.charCodeAt(close) !== CLOSE) return undefined
      at = close + 1
      names.pop()
      rows[(open.pop() ?? 0) + END] = at
    } else {
      const openEnd = findEnd(TAG_HERE, xml, at)
      if (openEnd === -1) return undefined
      const row = rows.push(at, openEnd) - ROW
      if (xml.charCodeAt(openEnd - 2) !== SLASH) {
        names.push(xml.slice(at + 1, findEnd(NAME_HERE, xml, at + 1)))
        if (open.push(row) > MAX_DEPTH) return undefined
      }
      at = openEnd
    }
    if (open.length > 0) at = findEnd(LEAVES_HERE, xml, at)
  } while (open.length > 0)
  return findEnd(BLANK_HERE, xml, at) === xml.length ? rows : undefined
}

// A domain has a thousand elements and we look at twenty.
class PlainElement implements XmlElement {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly #plain: Plain
  /** The first row behind this element's start, the one of what is in it if there is any. */
  readonly #row: number
  #openEnd: number | undefined
  #attributes: readonly XmlAttribute[] | undefined
  #children: readonly XmlElement[] | undefined

  /** The row's element, or a leaf without one that begins there, ahead of that row's. */
  constructor(plain: Plain, row: number, leaf?: number) {
    const { xml, rows } = plain
    this.#plain = plain
    this.#row = leaf === undefined ? row + ROW : row
    this.start = leaf ?? rows[row + START] ?? 0
    this.end = leaf === undefined ? (rows[row + END] ?? 0) : findEnd(LEAF_HERE, xml, leaf)
    this.name = xml.slice(this.start + 1, findEnd(NAME_HERE, xml, this.start + 1))
  }

  get openEnd(): number {
    this.#openEnd ??= findEnd(TAG_HERE, this.#plain.xml, this.start)
    return this.#openEnd
  }

  get contentEnd(): number {
    return this.isSelfClosing ? this.end : this.#plain.xml.lastIndexOf('</', this.end - 1)
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
    const { xml, rows } = this.#plain
    const { contentEnd } = this
    const children: XmlElement[] = []
    let row = this.#row
    let at = xml.indexOf('<', this.openEnd)
    while (at !== -1 && at < contentEnd) {
      const isLeaf = rows[row + START] !== at
      const child = new PlainElement(this.#plain, row, isLeaf ? at : undefined)
      children.push(child)
      // Those in the child are its own.
      while ((rows[row + START] ?? Infinity) < child.end) row += ROW
      at = xml.indexOf('<', child.end)
    }
    return children
  }
}

function decodeReferences(text: string): string {
  return text.replaceAll(/&[^;]*;/g, (reference) => CHARACTERS[reference] ?? reference)
}
