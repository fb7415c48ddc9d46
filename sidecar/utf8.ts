// Decodes a message's bytes as text. Refuses bytes that are not text.
import { DecodeError } from '../core/errors.ts'

// ignoreBOM means that a byte order mark stays in the text, so that it comes out again.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function decodeUtf8(path: string, bytes: Buffer): string {
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new DecodeError(path, `${bytes.length} bytes`, 'text in UTF-8', { cause })
  }
}
