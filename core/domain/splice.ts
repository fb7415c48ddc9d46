// Edits a text by position. The document is never rebuilt, so nothing but the named places can change. Every
// edit is minimal: if the text is already as wanted, there is no edit.
import type { XmlElement } from './tree.ts'

export interface Edit {
  readonly start: number
  /** Equal to start for an insertion. */
  readonly end: number
  readonly text: string
}

/** Applies edits that do not overlap. Insertions at one position keep their order. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  const parts: string[] = []
  let at = 0
  for (const edit of edits.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    parts.push(text.slice(at, edit.start), edit.text)
    at = edit.end
  }
  parts.push(text.slice(at))
  return parts.join('')
}

export type Attributes = Readonly<Record<string, string>>

/** An element as it should be. Attributes that are not named here stay as they are. */
export interface ElementSpec {
  readonly name: string
  readonly attributes: Attributes
  /** Written only if the element is new. */
  readonly initial?: Attributes
}

/** The edits that give an element these attributes; others keep their place and value. */
export function setAttributes(xml: string, element: XmlElement, attributes: Attributes): Edit[] {
  const edits: Edit[] = []
  for (const [name, value] of Object.entries(attributes)) {
    const found = element.attributes.find((attribute) => attribute.name === name)
    if (found === undefined) {
      const at = element.attributes.at(-1)?.end ?? element.start + 1 + element.name.length
      edits.push({ start: at, end: at, text: renderAttributes({ [name]: value }) })
    } else if (found.value !== value) {
      const text = escapeAttribute(value, xml.charAt(found.valueEnd))
      edits.push({ start: found.valueStart, end: found.valueEnd, text })
    }
  }
  return edits
}

/** The edits that remove an attribute and the white space before it. */
export function delAttribute(xml: string, element: XmlElement, name: string): Edit[] {
  const found = element.attributes.find((attribute) => attribute.name === name)
  if (found === undefined) return []
  return [{ start: findSpaceStart(xml, found.start), end: found.end, text: '' }]
}

/** The edit that removes an element and the white space before it. */
export function delElement(xml: string, element: XmlElement): Edit {
  return { start: findSpaceStart(xml, element.start), end: element.end, text: '' }
}

/** The edits that put text, which brings its own white space, behind the last child element. */
export function appendContent(xml: string, parent: XmlElement, text: string): Edit[] {
  if (text === '') return []
  if (parent.isSelfClosing) {
    const closing = `${findSeparator(xml, parent)}</${parent.name}>`
    return [{ start: parent.openEnd - 2, end: parent.openEnd, text: `>${text}${closing}` }]
  }
  const last = parent.children.at(-1)
  if (last !== undefined) return [{ start: last.end, end: last.end, text }]
  // "<a></a>" has no white space yet that would put the end tag on its own line.
  const closing = parent.openEnd === parent.contentEnd ? findSeparator(xml, parent) : ''
  return [{ start: parent.openEnd, end: parent.openEnd, text: text + closing }]
}

/** The line break and indentation before an element; empty if it does not start a line. */
export function findSeparator(xml: string, element: XmlElement): string {
  const space = xml.slice(findSpaceStart(xml, element.start), element.start)
  return /\r?\n[ \t]*$/.exec(space)?.[0] ?? ''
}

/** The white space before each child of an element, existing or not. The unit is one step of indentation. */
export function findChildSeparator(xml: string, parent: XmlElement, unit: string): string {
  const [first] = parent.children
  if (first !== undefined) return findSeparator(xml, first)
  const own = findSeparator(xml, parent)
  return own === '' ? '' : own + unit
}

/** One step of indentation, as between an element and its children. */
export function findIndentUnit(xml: string, parent: XmlElement): string {
  const outer = findSeparator(xml, parent)
  const [first] = parent.children
  const inner = first === undefined ? '' : findSeparator(xml, first)
  if (inner.length > outer.length && inner.startsWith(outer)) return inner.slice(outer.length)
  return outer.includes('\t') ? '\t' : '  '
}

export function renderElement(spec: ElementSpec): string {
  return `<${spec.name}${renderAttributes({ ...spec.initial, ...spec.attributes })}/>`
}

export function renderAttributes(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${escapeAttribute(value, '"')}"`)
    .join('')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '"': '&quot;',
  "'": '&apos;',
  // Unescaped, a reader would turn these three into blanks.
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}

function escapeAttribute(value: string, quote: string): string {
  const harmless = quote === "'" ? '"' : "'"
  return value.replaceAll(/[&<"'\t\n\r]/g, (char) =>
    char === harmless ? char : (ENTITIES[char] ?? char),
  )
}

function findSpaceStart(xml: string, at: number): number {
  let start = at
  while (start > 0 && /\s/.test(xml.charAt(start - 1))) start -= 1
  return start
}
