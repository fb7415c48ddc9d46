// XML as Go's xml.MarshalIndent(spec, "", "\t") writes it: a tab per level, no self-closing elements.
// virt-launcher sends its domain to hook sidecars in this form.

export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly content: string | readonly Element[]
}

/** Attributes and children that are undefined are left out, as Go's "omitempty" does. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | undefined>> = {},
  content: string | readonly (Element | undefined)[] = '',
): Element {
  const present = Object.entries(attributes).filter((entry) => entry[1] !== undefined)
  return {
    name,
    attributes: Object.fromEntries(present) as Record<string, string>,
    content: typeof content === 'string' ? content : content.filter((child) => child !== undefined),
  }
}

export function renderElement(element: Element, depth = 0): string {
  const indent = '\t'.repeat(depth)
  const attributes = Object.entries(element.attributes)
    .map(([name, value]) => ` ${name}="${escape(value)}"`)
    .join('')
  const start = `${indent}<${element.name}${attributes}>`
  const end = `</${element.name}>`
  if (typeof element.content === 'string') return `${start}${escape(element.content)}${end}`
  if (element.content.length === 0) return `${start}${end}`
  const children = element.content.map((child) => renderElement(child, depth + 1))
  return [start, ...children, `${indent}${end}`].join('\n')
}

/** encoding/xml's EscapeText, which serves attributes too. */
function escape(text: string): string {
  const entities: Record<string, string> = {
    '"': '&#34;',
    "'": '&#39;',
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '\t': '&#x9;',
    '\n': '&#xA;',
    '\r': '&#xD;',
  }
  return text.replaceAll(/["'&<>\t\n\r]/g, (character) => entities[character] ?? character)
}
