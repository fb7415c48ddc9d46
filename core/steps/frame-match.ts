// Frames of one kind, as a classic BPF program for tc: conditions on bytes, all of which must hold. A
// filter of such a program is replaced in one go, under a handle of ours; u32 numbers its own.

import { getFamily, toWord4, toWords6 } from '../net/ip.ts'

/** In a frame from its destination MAC on, without VLAN tag: the bytes at an offset, masked, have a value. */
interface Condition {
  readonly at: number
  readonly bytes: 1 | 2 | 4
  readonly mask?: number
  readonly is: number
}

export interface FrameMatch {
  /** tc's word. A frame with a VLAN tag is of none. */
  readonly protocol: 'ip' | 'ipv6' | 'arp'
  readonly conditions: readonly Condition[]
  /** Of a DHCPv6 client's: the first address that it names is another than this. */
  readonly otherThan?: string
}

/** Where the network's header begins. */
const HEADER = 14
const UDP = 17
const ICMPV6 = 58
const SOLICITATION = 133
const ADVERTISEMENT = 134
const NEIGHBOUR_SOLICITATION = 135
const NEIGHBOUR_ADVERTISEMENT = 136
/** Of IPv6's header: where the addresses are. */
const SOURCE = HEADER + 8
const DESTINATION = HEADER + 24
/** Of DHCPv6 (RFC 8415): the message's type, a transaction, then options. */
const MESSAGE = HEADER + 48
const REBIND = 6
const OPTIONS = MESSAGE + 4
/** How many options there may be before the first association. */
const OPTIONS_MOST = 16
/** Of an option: type and length. */
const OPTION_HEADER = 4
const [IA_NA, IA_ADDRESS] = [3, 5]
/** Of an association: its number and two times. */
const IA_HEADER = 12
/** Of neighbour discovery's: the address that is meant. */
const TARGET = HEADER + 48
/** Of ARP's: the operation, and the sender's and the target's IPv4 address. */
const ARP = { operation: HEADER + 6, sender: HEADER + 14, target: HEADER + 24 }

// Only whole datagrams without IP options: what is otherwise is no stock client's, and goes its way.
const PLAIN_IPV4: readonly Condition[] = [
  { at: HEADER, bytes: 1, is: 0x45 },
  { at: HEADER + 6, bytes: 2, mask: 0x3fff, is: 0 },
]

function toIpv4Datagram(ports: readonly Condition[]): FrameMatch {
  return {
    protocol: 'ip',
    conditions: [...PLAIN_IPV4, { at: HEADER + 9, bytes: 1, is: UDP }, ...ports],
  }
}

function toIcmpv6(type: number, rest: readonly Condition[] = []): FrameMatch {
  return toIpv6(ICMPV6, [{ at: HEADER + 40, bytes: 1, is: type }, ...rest])
}

function isAddress(start: number, address: string): readonly Condition[] {
  return toWords6(address).map((is, word) => ({ at: start + 4 * word, bytes: 4, is }))
}

function toIpv6(next: number, rest: readonly Condition[]): FrameMatch {
  return { protocol: 'ipv6', conditions: [{ at: HEADER + 6, bytes: 1, is: next }, ...rest] }
}

const fromPort4 = (port: number): Condition => ({ at: HEADER + 20, bytes: 2, is: port })
const toPort4 = (port: number): Condition => ({ at: HEADER + 22, bytes: 2, is: port })
const fromPort6 = (port: number): Condition => ({ at: HEADER + 40, bytes: 2, is: port })
const toPort6 = (port: number): Condition => ({ at: HEADER + 42, bytes: 2, is: port })

/** What a host asks. A relay's requests come from the server's port and are none of these. */
export const ASKED = {
  dhcp4: toIpv4Datagram([fromPort4(68), toPort4(67)]),
  dhcp6: toIpv6(UDP, [fromPort6(546), toPort6(547)]),
  router: toIcmpv6(SOLICITATION),
}

/** A DHCPv6 client would go on with another address than this. */
export function toForeignRebind(address: string): FrameMatch {
  const { protocol, conditions } = ASKED.dhcp6
  const isRebind: Condition = { at: MESSAGE, bytes: 1, is: REBIND }
  return { protocol, conditions: [...conditions, isRebind], otherThan: address }
}

/** What it is answered. */
export const ANSWERED = {
  dhcp4: toIpv4Datagram([fromPort4(67)]),
  dhcp6: toIpv6(UDP, [fromPort6(547)]),
  router: toIcmpv6(ADVERTISEMENT),
}

/** An IPv6 address asks for the MAC of another. */
export function toNeighbourQuestion(from: string): FrameMatch {
  return toIcmpv6(NEIGHBOUR_SOLICITATION, isAddress(SOURCE, from))
}

/** An IPv6 address is told the MAC of another. */
export function toNeighbourAnswer(to: string): FrameMatch {
  return toIcmpv6(NEIGHBOUR_ADVERTISEMENT, isAddress(DESTINATION, to))
}

/** Somebody asks for the MAC of an address. */
export function toQuestionFor(address: string): FrameMatch {
  return getFamily(address) === 6
    ? toIcmpv6(NEIGHBOUR_SOLICITATION, isAddress(TARGET, address))
    : toArp(1, ARP.target, address)
}

/** Somebody is told the MAC of an address. */
export function toAnswerFor(address: string): FrameMatch {
  return getFamily(address) === 6
    ? toIcmpv6(NEIGHBOUR_ADVERTISEMENT, isAddress(TARGET, address))
    : toArp(2, ARP.sender, address)
}

function toArp(operation: number, at: number, address: string): FrameMatch {
  return {
    protocol: 'arp',
    conditions: [
      { at: ARP.operation, bytes: 2, is: operation },
      { at, bytes: 4, is: toWord4(address) },
    ],
  }
}

/** Those of one sender, "02:00:00:00:00:01". */
export function fromMac(mac: string, { conditions, ...rest }: FrameMatch): FrameMatch {
  const digits = mac.replaceAll(':', '')
  return {
    ...rest,
    conditions: [
      { at: 6, bytes: 4, is: Number.parseInt(digits.slice(0, 8), 16) },
      { at: 10, bytes: 2, is: Number.parseInt(digits.slice(8), 16) },
      ...conditions,
    ],
  }
}

// linux/bpf_common.h: BPF_LD | BPF_ABS and a size, BPF_ALU | BPF_AND | BPF_K, BPF_JMP | BPF_JEQ | BPF_K,
// BPF_RET | BPF_K.
const LOAD = { 1: 0x30, 2: 0x28, 4: 0x20 }
const AND = 0x54
const JUMP_IF_EQUAL = 0x15
const RETURN = 0x06
// The same from X on; and what moves X.
const LOAD_X = { 2: 0x48, 4: 0x40 }
const [SET_X, ADD, ADD_X, TO_X] = [0x01, 0x04, 0x0c, 0x07]
/** cls_bpf: the filter's own class, which is a match. */
const MATCH = 0xffffffff

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number]

/** As tc's "bytecode": the number of instructions, and each as "code jt jf k". */
export function renderProgram({ conditions, otherThan }: FrameMatch): string {
  const tests = conditions.flatMap(({ at, bytes, mask, is }): readonly Instruction[] => [
    [LOAD[bytes], 0, 0, at],
    ...(mask === undefined ? [] : [[AND, 0, 0, mask] as const]),
    [JUMP_IF_EQUAL, 0, 0, is],
  ])
  const walk = otherThan === undefined ? [] : renderWalk(otherThan)
  const length = tests.length + walk.length + 2
  const lines = tests.map(([code, , , k], index): Instruction =>
    // Not equal: to the last instruction.
    code === JUMP_IF_EQUAL ? [code, 0, length - 2 - index, k] : [code, 0, 0, k],
  )
  const program = [...lines, ...walk, [RETURN, 0, 0, MATCH], [RETURN, 0, 0, 0]]
  return [`${program.length}`, ...program.map((line) => line.join(' ')), ''].join(',')
}

// A program has no loops: each option is a step of its own, and what lies behind the frame's end is no match.
// Ends in a match, or jumps over the one behind it.
function renderWalk(address: string): readonly Instruction[] {
  const toNext: readonly Instruction[] = [
    [LOAD_X[2], 0, 0, 2],
    [ADD, 0, 0, OPTION_HEADER],
    [ADD_X, 0, 0, 0],
    [TO_X, 0, 0, 0],
  ]
  const found = OPTION_HEADER + IA_HEADER
  const words = toWords6(address)
  const compare = words.flatMap((is, at): readonly Instruction[] => [
    [LOAD_X[4], 0, 0, found + OPTION_HEADER + 4 * at],
    // Equal to the last word: no match. Another one: a match.
    [JUMP_IF_EQUAL, at === words.length - 1 ? 1 : 0, 2 * (words.length - 1 - at), is],
  ])
  const inside: readonly Instruction[] = [
    [LOAD_X[2], 0, 0, found],
    [JUMP_IF_EQUAL, 0, compare.length + 1, IA_ADDRESS],
    ...compare,
  ]
  const step = toNext.length + 2
  const options = Array.from({ length: OPTIONS_MOST }, (_, at): readonly Instruction[] => [
    [LOAD_X[2], 0, 0, 0],
    // Found: over the options that are left, and the end of them.
    [JUMP_IF_EQUAL, step * (OPTIONS_MOST - at) - 1, 0, IA_NA],
    ...toNext,
  ])
  return [[SET_X, 0, 0, OPTIONS], ...options.flat(), [RETURN, 0, 0, 0], ...inside]
}
