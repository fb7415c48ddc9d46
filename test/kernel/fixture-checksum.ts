// Frames made by hand, with checksums that a kernel takes.
import { toWords6 } from '../../core/net/ip.ts'
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

const [IPV4, IPV6] = ['0800', '86dd']
const TAGS = new Set(['8100', '88a8'])
const [ICMP6, TCP, UDP] = ['3a', '06', '11']

/** What is wrong with a frame's checksum above IP, in words; undefined for a right one, and for none. */
export function findFault(frame: Uint8Array): string | undefined {
  let hex = Buffer.from(frame).toString('hex').slice(24)
  while (TAGS.has(hex.slice(0, 4))) hex = hex.slice(8)
  const packet = hex.slice(4)
  const [start, end, protocol, addresses] =
    hex.slice(0, 4) === IPV4
      ? [
          8 * Number.parseInt(packet[1] ?? '', 16),
          2 * Number.parseInt(packet.slice(4, 8), 16),
          packet.slice(18, 20),
          packet.slice(24, 40),
        ]
      : hex.slice(0, 4) === IPV6
        ? [
            80,
            80 + 2 * Number.parseInt(packet.slice(8, 12), 16),
            packet.slice(12, 14),
            packet.slice(16, 80),
          ]
        : [0, 0, '', '']
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP6) return undefined
  const message = packet.slice(start, end)
  const length = (message.length / 2).toString(16).padStart(8, '0')
  const sum = sumWords(fromHex(`${addresses}${length}000000${protocol}${message}`))
  return sum === '0000' ? undefined : `${frame.length} bytes: ${hex.slice(0, 160)}`
}
