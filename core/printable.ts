// Text that others wrote, as it may stand on a terminal, in a log or in an event. A terminal obeys control characters, a log line ends at a line feed,
// and marks that nobody sees make one name look like another: all of them are shown as escapes.

/**
 * Control characters (C0, DEL, C1), line and paragraph separators, halves of surrogate pairs, format characters (bidi marks, zero width, tags) and
 * what else Unicode lets a screen leave out. Combining marks stay: languages are written with them.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

const SHORT: ReadonlyMap<string, string> = new Map([
  ['\n', String.raw`\n`],
  ['\r', String.raw`\r`],
  ['\t', String.raw`\t`],
])

/** One line that shows everything: what cannot be seen as `\n`, `\x1b`, `\u{202e}`. Printable text, and what this has made, stays as it is. */
export function toPrintable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => SHORT.get(char) ?? escapeForPeople(char))
}

/** What an event or a report holds of a message: one line of so many bytes at most, as Kubernetes counts them. */
export function toMessage(text: string): string {
  const line = toPrintable(text.trim().replaceAll(/\s*[\r\n]\s*/g, ' '))
  if (encoder.encode(line).length <= MESSAGE_BYTES) return line
  const { read } = encoder.encodeInto(line, new Uint8Array(MESSAGE_BYTES - CUT_BYTES))
  return `${line.slice(0, read)}…`
}

/** Kubernetes keeps no more of an event. */
const MESSAGE_BYTES = 1024
/** The dots of what was cut. */
const CUT_BYTES = 3
const encoder = new TextEncoder()

/** A JSON text, or a double-quoted YAML one, that says the same in characters that show. Lines end as they did. */
export function toPrintableJson(json: string): string {
  return json.replace(UNPRINTABLE, (char) => (char === '\n' ? char : escapeForJson(char)))
}

function escapeForPeople(char: string): string {
  const code = char.codePointAt(0) ?? 0
  const hex = code.toString(16)
  return code > 0xff ? `\\u{${hex}}` : `\\x${hex.padStart(2, '0')}`
}

function escapeForJson(char: string): string {
  return Array.from({ length: char.length }, (_, at) => char.charCodeAt(at))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('')
}
