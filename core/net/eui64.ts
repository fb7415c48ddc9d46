// IPv6 link-local addresses that are made of a MAC (RFC 4291, appendix A).
import { toNetwork } from './ip.ts'

/** "fe80::5eff:fe00:5301" of "02:00:5e:00:53:01", as many systems give their NICs. */
export function toEui64(mac: string): string {
  const bytes = mac.split(':').map((byte) => Number.parseInt(byte, 16))
  const [first = 0, ...rest] = bytes
  const eight = [first ^ LOCAL, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)]
  const groups = [0, 2, 4, 6].map((at) =>
    (((eight[at] ?? 0) << 8) | (eight[at + 1] ?? 0)).toString(16),
  )
  return toNetwork({ address: `fe80:0:0:0:${groups.join(':')}`, prefix: 128 }).address
}

/** The MAC that an address was made of, if any. */
export function fromEui64(linkLocal: string): string | undefined {
  const [, tail = ''] = /^fe80::((?:[0-9a-f]{1,4}:){3}[0-9a-f]{1,4})$/.exec(linkLocal) ?? []
  const digits = tail
    .split(':')
    .map((group) => group.padStart(4, '0'))
    .join('')
  if (digits.slice(6, 10) !== 'fffe') return undefined
  const first = (Number.parseInt(digits.slice(0, 2), 16) ^ LOCAL).toString(16).padStart(2, '0')
  const rest = `${digits.slice(2, 6)}${digits.slice(10)}`.match(/../g) ?? []
  return [first, ...rest].join(':')
}

/** The bit that marks a locally administered MAC. EUI-64 inverts it. */
const LOCAL = 2
