// Refuses documents that fast-xml-parser and its validator accept although they are no XML, or that they read
// differently. The two check names, duplicate attributes and end tags. This file checks the rest of XML's
// well-formedness.
import { DecodeError } from '../errors.ts'

const SPACE = String.raw`[ \t\r\n]`
const NAME = String.raw`[A-Za-z_:][\w:.-]*`
const EQUALS = `${SPACE}*=${SPACE}*`
const ATTRIBUTE = `${SPACE}+[^\\s<>"'/=]+${EQUALS}(?:"[^"<]*"|'[^'<]*')`
const START_TAG = new RegExp(`<[^\\s<>"'/=!?]+(?:${ATTRIBUTE})*${SPACE}*/?>`, 'y')
const END_TAG = new RegExp(`</[^\\s<>"'/=]+${SPACE}*>`, 'y')
/** A DTD without a part in another file, which nobody would read. */
const DTD = new RegExp(`<!DOCTYPE${SPACE}+${NAME}${SPACE}*(?:\\[[^\\]]+\\]${SPACE}*)?>`, 'y')
const DECLARATION = new RegExp(
  `\\ufeff?<\\?xml${SPACE}+version${EQUALS}(["'])1\\.\\d+\\1` +
    `(?:${SPACE}+encoding${EQUALS}(["'])[A-Za-z][\\w.-]*\\2)?` +
    `(?:${SPACE}+standalone${EQUALS}(["'])(?:yes|no)\\3)?${SPACE}*\\?>`,
  'y',
)
const INSTRUCTION = new RegExp(`<\\?(?!xml(?:${SPACE}|\\?))${NAME}(?=${SPACE}|\\?>)`, 'iy')
const REFERENCE = /&(?:(?:amp|lt|gt|quot|apos|(#\d+|#x[\da-fA-F]+)|([A-Za-z_:][\w:.-]*));)?/g
const NOT_A_CHARACTER = /[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u
const NOT_A_BLANK = /[^ \t\r\n]/

const CHARACTERS: Readonly<Record<string, string>> = {
  '&amp;': '&',
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&apos;': "'",
}

/** The parser and its validator keep 32 bytes for each character of a tag, and of text. */
const MAX_TAG_CHARS = 100_000
const LONG_TEXT_CHARS = 1_000
/** Enough of the document for an error message. */
const EXCERPT = 200

interface Kind {
  readonly name:
    'comment' | 'CDATA section' | 'DTD' | 'instruction' | 'end tag' | 'start tag' | 'text'
  readonly open: string
  /** Returns the position behind the part that begins at "at"; -1 if that part is malformed. */
  readonly findEnd: (xml: string, at: number) => number
}

const TEXT: Kind = { name: 'text', open: '', findEnd: findTextEnd }
const KINDS: readonly Kind[] = [
  { name: 'comment', open: '<!--', findEnd: findCommentEnd },
  { name: 'CDATA section', open: '<![CDATA[', findEnd: (xml, at) => findBehind(']]>', xml, at) },
  { name: 'DTD', open: '<!DOCTYPE', findEnd: (xml, at) => match(DTD, xml, at) },
  { name: 'instruction', open: '<?', findEnd: findInstructionEnd },
  { name: 'end tag', open: '</', findEnd: (xml, at) => match(END_TAG, xml, at) },
  { name: 'start tag', open: '<', findEnd: (xml, at) => match(START_TAG, xml, at) },
]

/**
 * The tags of the document, each at its position, with blanks between. Throws DecodeError for a malformed
 * document.
 */
export function toTagsAlone(xml: string): string {
  const refuse = (at: number, reason: string): never => {
    throw newMalformedError(xml, `${reason} (${toPlace(xml, at)})`)
  }
  const strange = xml.search(NOT_A_CHARACTER)
  if (strange !== -1) refuse(strange, 'Invalid character')
  const start = Math.max(match(DECLARATION, xml, 0), xml.startsWith('\ufeff') ? 1 : 0)
  const parts = [toBlanks(xml.slice(0, start))]
  let depth = 0
  let hasRoot = false
  let hasDtd = false
  for (let at = start, end = start; at < xml.length; at = end) {
    const { name, findEnd } = KINDS.find(({ open }) => xml.startsWith(open, at)) ?? TEXT
    end = findEnd(xml, at)
    if (end === -1) refuse(at, `Malformed ${name}`)
    const part = xml.slice(at, end)
    const isTag = name === 'start tag' || name === 'end tag'
    if (isTag && part.length > MAX_TAG_CHARS) refuse(at, `Too long a ${name}`)
    if (name === 'start tag' || name === 'text') {
      const bad = findBadReference(part, hasDtd)
      if (bad !== -1) refuse(at + bad, 'Reference to nothing')
    }
    const isMisplaced =
      (name === 'DTD' && (hasDtd || hasRoot)) ||
      (name === 'start tag' && depth === 0 && hasRoot) ||
      (name === 'CDATA section' && depth === 0) ||
      (name === 'text' && depth === 0 && NOT_A_BLANK.test(part))
    if (isMisplaced) refuse(at, `A ${name} has no place here`)
    hasDtd ||= name === 'DTD'
    hasRoot ||= name === 'start tag'
    if (name === 'end tag') depth -= 1
    else if (name === 'start tag' && !part.endsWith('/>')) depth += 1
    parts.push(isTag ? part : toBlanks(part))
  }
  if (!hasRoot) refuse(xml.length, 'Root element is missing')
  return parts.join('')
}

export function newMalformedError(xml: string, reason: string, cause?: unknown): DecodeError {
  const options = cause === undefined ? undefined : { cause }
  return new DecodeError('domain XML', xml.slice(0, EXCERPT), `well-formed XML: ${reason}`, options)
}

/** The value of an attribute with this text between its quotes. References that a DTD may define stay. */
export function decodeValue(text: string): string {
  return text
    .replaceAll(/\r\n|[\t\n\r]/g, ' ')
    .replaceAll(REFERENCE, (whole: string, number: string | undefined) =>
      number === undefined
        ? (CHARACTERS[whole] ?? whole)
        : String.fromCodePoint(toCodePoint(number)),
    )
}

function findBadReference(text: string, hasDtd: boolean): number {
  for (const { 0: whole, 1: number, 2: name, index } of text.matchAll(REFERENCE)) {
    if (whole === '&' || (name !== undefined && !hasDtd)) return index
    if (number !== undefined && !isCharacter(toCodePoint(number))) return index
  }
  return -1
}

/** Of "#34" or "#x22". */
function toCodePoint(number: string): number {
  return Number(number.startsWith('#x') ? `0${number.slice(1)}` : number.slice(1))
}

function isCharacter(codePoint: number): boolean {
  return codePoint <= 0x10_ffff && !NOT_A_CHARACTER.test(String.fromCodePoint(codePoint))
}

// Keeps line breaks, because the validator counts lines. The validator skips a comment without storing it.
function toBlanks(text: string): string {
  const length = text.length - '<!---->'.length
  return text.length > LONG_TEXT_CHARS
    ? `<!--${' '.repeat(length)}-->`
    : text.replaceAll(/[^\n]/g, ' ')
}

function findCommentEnd(xml: string, at: number): number {
  const dashes = xml.indexOf('--', at + '<!--'.length)
  return dashes !== -1 && xml.startsWith('-->', dashes) ? dashes + '-->'.length : -1
}

function findInstructionEnd(xml: string, at: number): number {
  return match(INSTRUCTION, xml, at) === -1 ? -1 : findBehind('?>', xml, at)
}

function findTextEnd(xml: string, at: number): number {
  const next = xml.indexOf('<', at)
  const end = next === -1 ? xml.length : next
  return xml.slice(at, end).includes(']]>') ? -1 : end
}

function findBehind(close: string, xml: string, at: number): number {
  const found = xml.indexOf(close, at)
  return found === -1 ? -1 : found + close.length
}

function match(pattern: RegExp, xml: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(xml) ? pattern.lastIndex : -1
}

function toPlace(xml: string, at: number): string {
  const lines = xml.slice(0, at).split('\n')
  return `line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`
}
