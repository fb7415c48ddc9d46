// Datagrams that measure the way from one node to another on the tunnels' own port. Each carries the VNI of
// a wire that the two share, so that the far node's guard lets it pass as it lets the wire's own, and
// lacks VXLAN's flag that there is a VNI, so that the kernel drops it behind all firewalls (vxlan_rcv): it
// never becomes a frame. An nftables table at the far node notes the length of what arrives.
import { parseNftObjects } from '../observe/tool-json.ts'

/** Lengths of the IP packets that came by one way. */
export interface Heard {
  /** As they came, before any of the node's firewalls. */
  readonly whole: readonly number[]
  /** Where a tunnel receives, put together from their fragments. */
  readonly delivered: readonly number[]
}

/** The payload that makes an IP packet to this address so long. The token names the way, and the doctor that measures it. */
export function encodeProbe(to: string, bytes: number, vni: number, token: number): Uint8Array {
  const payload = new Uint8Array(bytes - (to.includes(':') ? 40 : 20) - 8)
  const view = new DataView(payload.buffer)
  // Before it VXLAN's flags: none. The VNI is 24 bits; the byte behind it is reserved.
  view.setUint32(4, vni * 256)
  view.setUint32(8, token)
  return payload
}

/** For `nft -f`: a table that notes what comes by each of the ways, and drops nothing. */
export function renderRecorder(table: string, port: number, tokens: readonly number[]): string {
  const chains = [
    // Before fragments are put together (-400), and so before anybody drops.
    { name: 'whole', hook: 'prerouting priority -450' },
    // After all that filter: the guard (0), firewalld (10), SELinux (225).
    { name: 'delivered', hook: 'input priority 300' },
  ]
  const lines = chains.flatMap(({ name, hook }) => [
    `add chain inet ${table} ${name} { type filter hook ${hook}; policy accept; }`,
    ...tokens.flatMap((token) => [
      `add set inet ${table} ${name}${token} { typeof meta length; flags dynamic; size 65535; }`,
      `add rule inet ${table} ${name} udp dport ${port} @th,64,32 0 @th,128,32 ${token} add @${name}${token} { meta length }`,
    ]),
  ])
  return [`add table inet ${table}`, ...lines, ''].join('\n')
}

/** What was heard of a way, from the output of `nft -j list table`. Throws DecodeError. */
export function readRecord(json: string, token: number): Heard {
  const objects = parseNftObjects(json, 'nft -j list table') as readonly {
    readonly set?: { readonly name?: string; readonly elem?: readonly unknown[] }
  }[]
  const read = (name: string): readonly number[] =>
    objects
      .flatMap(({ set }) => (set?.name === `${name}${token}` ? (set.elem ?? []) : []))
      .filter((bytes) => typeof bytes === 'number')
  return { whole: read('whole'), delivered: read('delivered') }
}
