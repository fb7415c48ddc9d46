// Where the attributes of a start tag lie. The text is known to be well-formed here, so quotes are
// enough to find them.
import type { XmlAttribute } from './tree.ts'

export interface StartTag {
  readonly attributes: readonly XmlAttribute[]
  /** Behind the ">". */
  readonly openEnd: number
}

const ATTRIBUTE = /\s+([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y

/** decode: an attribute's name and text -> its value. */
export function scanStartTag(
  xml: string,
  element: { readonly name: string; readonly start: number },
  decode: (name: string, text: string) => string,
): StartTag {
  const attributes: XmlAttribute[] = []
  ATTRIBUTE.lastIndex = element.start + 1 + element.name.length
  let tagEnd = ATTRIBUTE.lastIndex
  for (let match = ATTRIBUTE.exec(xml); match !== null; match = ATTRIBUTE.exec(xml)) {
    const [whole, name = '', double, single = ''] = match
    const text = double ?? single
    tagEnd = match.index + whole.length
    attributes.push({
      name,
      value: decode(name, text),
      start: match.index + whole.search(/\S/),
      end: tagEnd,
      valueStart: tagEnd - 1 - text.length,
      valueEnd: tagEnd - 1,
    })
    ATTRIBUTE.lastIndex = tagEnd
  }
  return { attributes, openEnd: xml.indexOf('>', tagEnd) + 1 }
}
