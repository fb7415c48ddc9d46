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
const ATTRIBUTE = `${NAME}${SPACE}*=${SPACE}*${VALUE}`
const START_TAG = new RegExp(`<(${NAME})(?:${SPACE}+${ATTRIBUTE})*${SPACE}*/?>`, 'y')
/** An element has an attribute twice, or a text looks as if. */
const TWICE = /[ \t\n]([\w.:-]+)[ \t\n]*=(?=[^<]*[ \t\n]\1[ \t\n]*=)/
const RARE = /[^\t\n\u0020-\u007e\u00a0-\ud7ff\ue000-\ufefe]/
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

/** Where an element is. A literal: in the sidecar, which has no compiler, a class costs several times more. */
interface Place {
  readonly name: string
  readonly start: number
  readonly openEnd: number
  contentEnd: number
  end: number
  readonly children: Place[]
}

/** The root element; undefined for what the parser has to look at. */
export function readPlain(xml: string): XmlElement | undefined {
  if (RARE.test(xml) || xml.includes(']]>') || TWICE.test(xml)) return undefined
  if (xml.includes('&') && OTHER_REFERENCE.test(xml)) return undefined
  const root = findRoot(xml)
  return root === undefined ? undefined : new PlainElement(xml, root)
}

function findRoot(xml: string): Place | undefined {
  const open: Place[] = []
  let root: Place | undefined
  let parent: Place | undefined
  let at = 0
  for (let start = xml.indexOf('<'); start !== -1; start = xml.indexOf('<', at)) {
    if (parent === undefined && (root !== undefined || !isBlank(xml.slice(at, start))))
      return undefined
    if (xml[start + 1] === '/') {
      if (parent === undefined || !xml.startsWith(parent.name, start + 2)) return undefined
      at = start + 2 + parent.name.length
      if (xml[at] !== '>') return undefined
      at += 1
      parent.contentEnd = start
      parent.end = at
      open.pop()
      parent = open.at(-1)
    } else {
      START_TAG.lastIndex = start
      const name = START_TAG.exec(xml)?.[1]
      if (name === undefined) return undefined
      at = START_TAG.lastIndex
      const place: Place = { name, start, openEnd: at, contentEnd: at, end: at, children: [] }
      root ??= place
      parent?.children.push(place)
      if (xml[at - 2] === '/') continue
      if (open.push(place) > MAX_DEPTH) return undefined
      parent = place
    }
  }
  return parent === undefined && isBlank(xml.slice(at)) ? root : undefined
}

function isBlank(text: string): boolean {
  return /^[ \t\n]*$/.test(text)
}

// A domain has a thousand elements and we look at twenty.
class PlainElement implements XmlElement {
  readonly #xml: string
  readonly #place: Place
  #attributes: readonly XmlAttribute[] | undefined
  #children: readonly XmlElement[] | undefined

  constructor(xml: string, place: Place) {
    this.#xml = xml
    this.#place = place
  }

  get name(): string {
    return this.#place.name
  }

  get start(): number {
    return this.#place.start
  }

  get end(): number {
    return this.#place.end
  }

  get openEnd(): number {
    return this.#place.openEnd
  }

  get contentEnd(): number {
    return this.#place.contentEnd
  }

  get isSelfClosing(): boolean {
    return this.openEnd === this.end
  }

  get attributes(): readonly XmlAttribute[] {
    this.#attributes ??= scanStartTag(this.#xml, this.#place, (_, text) =>
      decodeReferences(text),
    ).attributes
    return this.#attributes
  }

  get children(): readonly XmlElement[] {
    this.#children ??= this.#place.children.map((child) => new PlainElement(this.#xml, child))
    return this.#children
  }
}

function decodeReferences(text: string): string {
  return text.replaceAll(/&[^;]*;/g, (reference) => CHARACTERS[reference] ?? reference)
}
