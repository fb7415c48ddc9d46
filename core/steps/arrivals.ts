// The nftables table that counts announcements of guests (RARP, by QEMU) from the nodes of migrations' targets. It decides
// nothing: what the table of permissions drops does not get as far, and without this one a wire follows its guest by the
// store alone.
import { parseNftObjects } from '../observe/tool-json.ts'
import { getPeerSet } from './guard.ts'

export const ARRIVALS_TABLE = 'inet l2wire-arrivals'

/**
 * Matches a VXLAN datagram (RFC 7348) whose frame has RARP's Ethertype, 28 bytes behind the start of the UDP header. A node
 * whose tunnel was given an address speaks there itself, and its frames announce no guest.
 */
const IS_ANNOUNCEMENT = '@th,224,16 0x8035'

/** Announcements from one node and VNI are counted for one guest. */
export interface Counter {
  readonly address: string
  readonly vni: number
  /** Whose arrival it is to tell: a counter that was made for another one says nothing of this one. */
  readonly guest: string
}

export interface ObservedCounter extends Counter {
  readonly datagrams: number
}

/** Counters to be made, and those to be removed; whoever is in both starts at zero. One transaction, idempotent. */
export function renderCounting(
  port: number,
  made: readonly Counter[],
  gone: readonly Counter[],
): readonly string[] {
  const rule = (family: string, set: string): string =>
    `add rule ${ARRIVALS_TABLE} input udp dport ${port} ${IS_ANNOUNCEMENT} ${family} saddr . @th,96,24 @${set}`
  return [
    `add table ${ARRIVALS_TABLE}`,
    `add set ${ARRIVALS_TABLE} peers4 { typeof ip saddr . @th,96,24; counter; }`,
    `add set ${ARRIVALS_TABLE} peers6 { typeof ip6 saddr . @th,96,24; counter; }`,
    // Behind the chain that drops strangers and forged senders.
    `add chain ${ARRIVALS_TABLE} input { type filter hook input priority filter + 1; policy accept; }`,
    `flush chain ${ARRIVALS_TABLE} input`,
    rule('ip', 'peers4'),
    rule('ip6', 'peers6'),
    ...gone.map((one) => `delete ${toElement(one, '')}`),
    ...made.map((one) => `add ${toElement(one, ` comment "${one.guest}"`)}`),
  ]
}

function toElement({ address, vni }: Counter, words: string): string {
  return `element ${ARRIVALS_TABLE} ${getPeerSet(address)} { ${address} . ${vni}${words} }`
}

/** Adding first makes the deletion of what is not there succeed. */
export const REMOVE_COUNTING: readonly string[] = [
  `add table ${ARRIVALS_TABLE}`,
  `delete table ${ARRIVALS_TABLE}`,
]

/** The keys we read of an element with a counter. */
interface CountedElement {
  readonly elem?: {
    readonly val?: { readonly concat?: readonly (string | number)[] }
    readonly comment?: string
    readonly counter?: { readonly packets?: number }
  }
}

/** From the output of `nft -j list table inet l2wire-arrivals`. Throws DecodeError. */
export function parseCounters(json: string): readonly ObservedCounter[] {
  const objects = parseNftObjects(json, 'nft -j list table') as readonly {
    readonly set?: { readonly elem?: readonly (CountedElement | string)[] }
  }[]
  return objects.flatMap(({ set }) =>
    (set?.elem ?? []).flatMap((one) => {
      const { val, comment: guest = '', counter } = typeof one === 'string' ? {} : (one.elem ?? {})
      const [address, vni] = val?.concat ?? []
      if (address === undefined || vni === undefined) return []
      const datagrams = counter?.packets ?? 0
      return [{ address: String(address), vni: Number(vni), guest, datagrams }]
    }),
  )
}

function isSame(a: Counter, b: Counter): boolean {
  return a.address === b.address && a.vni === b.vni && a.guest === b.guest
}

/** What is to be made and removed, so that these guests are counted, and none else. */
export function diffCounters(
  wanted: readonly Counter[],
  observed: readonly Counter[],
): { readonly made: readonly Counter[]; readonly gone: readonly Counter[] } {
  return {
    made: wanted.filter((one) => !observed.some((other) => isSame(one, other))),
    gone: observed.filter((one) => !wanted.some((other) => isSame(one, other))),
  }
}

/** Whether a datagram has come that is this guest's. */
export function isCounted(wanted: Counter, observed: readonly ObservedCounter[]): boolean {
  return observed.some((one) => isSame(one, wanted) && one.datagrams > 0)
}
