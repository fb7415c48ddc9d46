// Datagrams of VXLAN as a pod with a raw socket writes them: from whatever address it likes, whole or in fragments.
import { fromHex } from '../../core/tester/bytes.ts'
import { sumUp, sumWords, toHex6 } from './fixture-checksum.ts'

const PORT = 14_789
/** Of each fragment but the last; a multiple of eight. */
const FRAGMENT_BYTES = 24

export interface Datagram {
  readonly from: string
  readonly to: string
  readonly vni: number
  /** The frame in it. */
  readonly inner: Uint8Array
}

const toHex = (value: number, bytes: number): string => value.toString(16).padStart(bytes * 2, '0')

function toHex4(address: string): string {
  return address
    .split('.')
    .map((part) => toHex(Number(part), 1))
    .join('')
}

/** The packets of one datagram, without their Ethernet headers. */
export function toPackets(datagram: Datagram, isFragmented: boolean): readonly Uint8Array[] {
  const { from, to, vni, inner } = datagram
  const vxlan = `08000000${toHex(vni, 3)}00${Buffer.from(inner).toString('hex')}`
  const ports = `9c40${toHex(PORT, 2)}${toHex(8 + vxlan.length / 2, 2)}`
  const parts = (message: string): readonly string[] =>
    isFragmented
      ? [message.slice(0, FRAGMENT_BYTES * 2), message.slice(FRAGMENT_BYTES * 2)]
      : [message]
  if (!from.includes(':'))
    return parts(`${ports}0000${vxlan}`).map((part, at, { length }) => {
      const place = (at < length - 1 ? 0x2000 : 0) | ((at * FRAGMENT_BYTES) / 8)
      const start = `4500${toHex(20 + part.length / 2, 2)}0007${toHex(place, 2)}4011`
      const addresses = toHex4(from) + toHex4(to)
      return fromHex(`${start}${sumWords(fromHex(`${start}0000${addresses}`))}${addresses}${part}`)
    })
  const addresses = [toHex6(from), toHex6(to)] as const
  // Unlike IPv4's it is no choice.
  const sum = sumUp(...addresses, '11', `${ports}0000${vxlan}`)
  return parts(`${ports}${sum}${vxlan}`).map((part, at, { length }) => {
    const place = (at * FRAGMENT_BYTES) | (at < length - 1 ? 1 : 0)
    const above = isFragmented ? `1100${toHex(place, 2)}00000007${part}` : part
    const next = isFragmented ? '2c' : '11'
    return fromHex(`60000000${toHex(above.length / 2, 2)}${next}40${addresses.join('')}${above}`)
  })
}
