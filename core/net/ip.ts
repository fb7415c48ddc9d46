// IP addresses as text, in the kernel's spelling, so that equal addresses are equal strings.
import { isIP, SocketAddress } from 'node:net'

import { DecodeError } from '../errors.ts'

export type Family = 4 | 6

export interface Cidr {
  readonly address: string
  readonly prefix: number
}

const IP_EXPECTED = 'an IP address like "10.0.0.1" or "fd00::1"'
const CIDR_EXPECTED = 'an address with its prefix length, like "10.0.0.2/24" or "fd00::2/64"'

export function getFamily(address: string): Family {
  return address.includes(':') ? 6 : 4
}

/** An address in the kernel's spelling. Throws DecodeError. */
export function decodeIp(value: unknown, path: string): string {
  const address = typeof value === 'string' ? normalizeIp(value) : undefined
  if (address !== undefined) return address
  throw new DecodeError(path, value, IP_EXPECTED)
}

/** An address and the length of its network's prefix. Throws DecodeError. */
export function decodeCidr(value: unknown, path: string): Cidr {
  const cidr = typeof value === 'string' ? parseCidr(value) : undefined
  if (cidr !== undefined) return cidr
  throw new DecodeError(path, value, CIDR_EXPECTED)
}

/** As decodeCidr, for an address that a NIC may have: neither "any" nor multicast. Throws DecodeError. */
export function decodeNicAddress(value: unknown, path: string): Cidr {
  const cidr = decodeCidr(value, path)
  if (isUnicast(cidr.address)) return cidr
  throw new DecodeError(path, value, `${CIDR_EXPECTED}, of one NIC alone`)
}

export function renderCidr({ address, prefix }: Cidr): string {
  return `${address}/${prefix}`
}

/** "10.0.0.0/8", "10.0.0.1" and the like in one spelling; undefined if it is no network. */
export function parseCidr(text: string): Cidr | undefined {
  const [, ip = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const address = normalizeIp(ip)
  if (address === undefined) return undefined
  const prefix = Number(length)
  return prefix <= getBits(address) ? { address, prefix } : undefined
}

export function getBits(address: string): number {
  return getFamily(address) === 4 ? 32 : 128
}

/** The network that an address with its prefix length is in: 10.0.0.2/24 is in 10.0.0.0/24. */
export function toNetwork({ address, prefix }: Cidr): Cidr {
  // An IPv4 address inside an IPv6 one belongs to no network.
  if (address.includes('.') && address.includes(':')) return { address, prefix }
  const [width, base, separator] = getFamily(address) === 4 ? [8, 10, '.'] : [16, 16, ':']
  const masked = listGroups(address, separator).map((group, at) => {
    const kept = Math.min(Math.max(prefix - at * width, 0), width)
    const mask = (2 ** kept - 1) * 2 ** (width - kept)
    return (Number.parseInt(group, base) & mask).toString(base)
  })
  return { address: normalizeIp(masked.join(separator)) ?? address, prefix }
}

/** Whether an address is in a network, "10.0.0.0/24". */
export function contains(network: string, address: string): boolean {
  const cidr = parseCidr(network)
  if (cidr === undefined || getFamily(network) !== getFamily(address)) return false
  return toNetwork({ address, prefix: cidr.prefix }).address === toNetwork(cidr).address
}

/** The 32 bits of an IPv4 address. */
export function toWord4(address: string): number {
  return listGroups(address, '.').reduce((word, group) => word * 256 + Number(group), 0)
}

/** The multicast group for neighbour solicitations of an IPv6 address (RFC 4291: solicited-node). */
export function toSolicited6(address: string): string {
  const rest = (toWords6(address)[3] ?? 0) & 0xff_ffff
  return (
    normalizeIp(
      `ff02::1:ff${(rest >>> 16).toString(16).padStart(2, '0')}:${(rest & 0xffff).toString(16)}`,
    ) ?? ''
  )
}

/** The four words of 32 bits of an IPv6 address. */
export function toWords6(address: string): readonly number[] {
  const groups = listGroups(address, ':').map((group) => Number.parseInt(group, 16))
  return [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 0x10000 + (groups[at + 1] ?? 0))
}

function listGroups(address: string, separator: string): readonly string[] {
  const [left = [], right] = address
    .split('::')
    .map((half) => (half === '' ? [] : half.split(separator)))
  if (right === undefined) return left
  return [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right]
}

// An address in the kernel's spelling; undefined if it is no address or has a zone. A zone ("fe80::1%eth0") is
// a name on one machine and no part of an address.
export function normalizeIp(text: string): string | undefined {
  const family = text.includes('%') ? 0 : isIP(text)
  if (family === 0) return undefined
  return new SocketAddress({ address: text, family: family === 4 ? 'ipv4' : 'ipv6' }).address
}

export function isLoopbackIp(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** Whether it is an IPv6 link-local address. Every interface has one. */
export function isLinkLocal6(address: string): boolean {
  return /^fe[89ab]/.test(address)
}

function isUnicast(address: string): boolean {
  if (getFamily(address) === 6) return address !== '::' && !address.startsWith('ff')
  const first = Number(address.split('.')[0])
  return first > 0 && first < 224
}
