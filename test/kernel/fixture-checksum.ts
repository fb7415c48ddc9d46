// Frames made by hand, with checksums that a kernel takes.
import { toWords6 } from '../../core/ip.ts'
import { fromHex } from '../../core/tester/bytes.ts'

/** An address as 32 digits. */
export function toHex6(address: string): string {
  return toWords6(address)
    .map((word) => word.toString(16).padStart(8, '0'))
    .join('')
}

/** The checksum of the Internet's protocols over all of this (RFC 1071), in hex. */
export function sumWords(bytes: Uint8Array): string {
  const sum = bytes.reduce((all, byte, at) => all + (at % 2 === 0 ? byte * 256 : byte), 0)
  const folded = (sum & 0xffff) + (sum >> 16)
  return (~((folded & 0xffff) + (folded >> 16)) & 0xffff).toString(16).padStart(4, '0')
}

/** What is above IPv6, in hex, as it is summed up between two addresses: ICMPv6 (3a), UDP (11). */
export function sumUp(from: string, to: string, protocol: '3a' | '11', message: string): string {
  const length = (message.length / 2).toString(16).padStart(8, '0')
  return sumWords(fromHex(`${from}${to}${length}000000${protocol}${message}`))
}
