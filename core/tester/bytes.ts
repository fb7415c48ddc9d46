// Builds Ethernet frames from hex text.

/** The bytes of hex digits. Blanks, colons and dashes are for the reader. */
export function fromHex(hex: string): Uint8Array {
  const digits = hex.replaceAll(/[\s:-]/g, '')
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
    Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  )
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** A payload that differs for every mark and position, so that swapped or cut frames show. */
export function fillPayload(length: number, mark: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + mark * 17 + (at >> 8)) & 0xff)
}
