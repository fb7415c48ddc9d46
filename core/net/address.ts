// MAC addresses and MTUs: parsing, printing and arithmetic.
import { DecodeError } from '../errors.ts'
import { sha256 } from '../hash.ts'
import { whole } from '../shape.ts'

/** Ethernet's smallest and veth's largest MTU: payload bytes after the 14-byte header. */
export const MTU_MIN = 68
export const MTU_MAX = 65535

/** Below this MTU Linux has no IPv6 on a device. When IPv6 comes back, it has the kernel's defaults. */
export const IPV6_MTU_MIN = 1280

/** The default payload of a wire, and the default MTU of its ends. */
export const DEFAULT_MAX_FRAME = 9216
export const DEFAULT_MTU = 1500

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/

/** A MAC that a NIC may own: six octets, unicast, not all zero; returned in lower case. Throws DecodeError. */
export function decodeMac(value: unknown, path: string): string {
  const mac = typeof value === 'string' ? value.toLowerCase().replaceAll('-', ':') : ''
  const isUnicast = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0
  if (MAC.test(mac) && isUnicast && mac !== '00:00:00:00:00:00') return mac
  throw new DecodeError(path, value, 'a unicast MAC address like "02:00:5e:10:00:01"')
}

/** Payload bytes, MTU_MIN to MTU_MAX. Throws DecodeError. */
export const decodeMtu = whole(
  MTU_MIN,
  MTU_MAX,
  `a whole number of bytes from ${MTU_MIN} to ${MTU_MAX}`,
)

/** A locally administered unicast MAC that depends only on the words, so it survives a restart. */
export function deriveMac(...words: readonly string[]): string {
  const octets = [...sha256(words.join('\n')).subarray(0, 6)]
  octets[0] = ((octets[0] ?? 0) & 0xfc) | 0x02
  return octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':')
}
