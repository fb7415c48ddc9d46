// Datagrams that measure the way from one node to another on the tunnels' own port. Each carries the VNI of
// a wire that the two share, so that the far node's guard lets it pass as it lets the wire's own, and
// lacks VXLAN's flag that there is a VNI, so that the kernel drops it behind all firewalls (vxlan_rcv): it
// never becomes a frame. What arrives is noted by a table of nftables that lives as long as its maker.
import { DecodeError } from './errors.ts'

/** "QL2W": VXLAN's flag, 08 in the first byte, is not in it. */
const MAGIC = 0x51_4c_32_57

export interface Datagram {
  readonly address: string
  /** Of the IP packet, its header included. */
  readonly bytes: number
}

export interface Heard {
  /** What reached the node in one piece, before any of its firewalls. */
  readonly whole: readonly Datagram[]
  /** What got through to where a tunnel receives, from one piece or from several. */
  readonly delivered: readonly Datagram[]
}

/** Which datagrams are this doctor's: another one may be at work at the same time. */
export interface ProbeMark {
  readonly port: number
  /** 32 bits. */
  readonly token: number
}

const UDP_HEADER_BYTES = 8

function getIpHeaderBytes(address: string): number {
  return address.includes(':') ? 40 : 20
}

/** The least a probe can be, and the most that UDP takes. */
export const PROBE_BYTES_MIN = 128
export const PROBE_BYTES_MAX = 60_000

/** The payload of a datagram that is so many bytes long as an IP packet to this address. */
export function encodeProbe(
  address: string,
  bytes: number,
  token: number,
  vni: number,
): Uint8Array {
  const payload = new Uint8Array(bytes - getIpHeaderBytes(address) - UDP_HEADER_BYTES)
  const view = new DataView(payload.buffer)
  view.setUint32(0, MAGIC)
  // The VNI is 24 bits; the byte behind it is reserved.
  view.setUint32(4, vni * 256)
  view.setUint32(8, token)
  return payload
}

/** Name of the table that hears: when it was made, so that one whose maker was killed can be told. */
export function toEarsTable(token: number, nowMs: number): string {
  return `l2wire_doctor_${Math.floor(nowMs / 1000)}_${token}`
}

const STALE_SECONDS = 600

/** Of the output of `nft -j list tables`: those whose maker must be gone. */
export function listStaleEars(json: string, nowMs: number): readonly string[] {
  const { nftables = [] } = JSON.parse(json) as { nftables?: readonly NftObject[] }
  return nftables.flatMap(({ table }) => {
    const made = /^l2wire_doctor_(\d+)_\d+$/.exec(table?.name ?? '')?.[1]
    const isStale = made !== undefined && nowMs / 1000 - Number(made) > STALE_SECONDS
    return isStale && table?.name !== undefined ? [table.name] : []
  })
}

/** Lines for `nft -f`. */
export function renderEars(table: string, { port, token }: ProbeMark): readonly string[] {
  const probe = `udp dport ${port} @th,64,32 ${MAGIC} @th,128,32 ${token}`
  const set = (name: string, family: string): string =>
    `add set inet ${table} ${name} { typeof ${family} saddr . udp length; flags dynamic; size 65535; }`
  const note = (chain: string, first: string, name: string, family: string): string =>
    `add rule inet ${table} ${chain} ${first} ${probe} add @${name} { ${family} saddr . udp length }`
  return [
    `add table inet ${table}`,
    ...['whole', 'delivered'].flatMap((name) => [set(`${name}4`, 'ip'), set(`${name}6`, 'ip6')]),
    // Before fragments are put together (-400), and so before anybody drops.
    `add chain inet ${table} arriving { type filter hook prerouting priority -450; policy accept; }`,
    // After all that filter: the guard (0), firewalld (10), SELinux (225).
    `add chain inet ${table} arrived { type filter hook input priority 300; policy accept; }`,
    // No offset and no "more fragments". IPv6 says it by another header, which "udp" does not match.
    note('arriving', 'ip frag-off & 0x3fff == 0', 'whole4', 'ip'),
    note('arriving', 'meta nfproto ipv6 ip6 nexthdr udp', 'whole6', 'ip6'),
    note('arrived', 'meta nfproto ipv4', 'delivered4', 'ip'),
    note('arrived', 'meta nfproto ipv6', 'delivered6', 'ip6'),
  ]
}

/** The keys we read of nft's JSON. */
interface NftObject {
  readonly table?: { readonly name?: string }
  readonly set?: {
    readonly name?: string
    readonly elem?: readonly { readonly concat?: readonly (string | number)[] }[]
  }
}

/** What was heard, from the output of `nft -j list table`. Throws DecodeError. */
export function parseEars(json: string): Heard {
  const { nftables } = JSON.parse(json) as { nftables?: readonly NftObject[] }
  if (!Array.isArray(nftables)) throw new DecodeError('nft -j list table', json, 'a list, nftables')
  const objects: readonly NftObject[] = nftables
  const read = (prefix: string): readonly Datagram[] =>
    objects
      .flatMap(({ set }) => (set?.name?.startsWith(prefix) === true ? (set.elem ?? []) : []))
      .flatMap(({ concat = [] }) => {
        const [address, length] = concat
        return typeof address === 'string' && typeof length === 'number'
          ? [{ address, bytes: length + getIpHeaderBytes(address) }]
          : []
      })
  return { whole: read('whole'), delivered: read('delivered') }
}

const RUNGS = 24

/** Sizes to try between one that got through whole and one that did not; the last one is the upper one less 1 where few are left. */
export function listRungs(reached: number, failed: number): readonly number[] {
  const between = failed - reached - 1
  const count = Math.min(RUNGS, between)
  return Array.from({ length: Math.max(0, count) }, (_, at) =>
    Math.round(reached + ((at + 1) * (between + 1)) / (count + 1)),
  )
}
