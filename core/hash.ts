// SHA-256, the one hash that names and addresses are made of.
import { createHash } from 'node:crypto'

export function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Hex digits, as many as asked for, 64 at most. */
export function sha256Hex(text: string, digits = 64): string {
  return sha256(text).toString('hex').slice(0, digits)
}
