import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  ANSWERED,
  ASKED,
  fromMac,
  renderProgram,
  toAnswerFor,
  toNeighbourAnswer,
  toNeighbourQuestion,
  toQuestionFor,
} from '../../core/frame-match.ts'
import { fromHex } from '../../core/tester/bytes.ts'

const MAC = '02:00:5e:00:53:01'

/** The kernel's way through such a program (Documentation/networking/filter.rst), for what these use of it. */
function runProgram(text: string, frame: Uint8Array): boolean {
  const [count, ...lines] = text.split(',').slice(0, -1)
  expect(lines).to.have.length(Number(count))
  const program = lines.map((line) => line.split(' ').map(Number))
  let accumulator = 0
  for (let at = 0; ; at += 1) {
    const [code, ifTrue = 0, ifFalse = 0, k = 0] = program[at] ?? []
    const bytes = { 0x30: 1, 0x28: 2, 0x20: 4 }[code ?? 0]
    if (bytes !== undefined) {
      // What is read behind the end is no match.
      if (k + bytes > frame.length) return false
      accumulator = frame.slice(k, k + bytes).reduce((sum, byte) => sum * 256 + byte, 0)
    } else if (code === 0x54) accumulator &= k
    else if (code === 0x15) at += accumulator === k ? ifTrue : ifFalse
    else if (code === 0x06) return k !== 0
    else throw new Error(`no such instruction: ${code}`)
  }
}

const dhcp4 = (ports: string, head = '4500', fragment = '0000'): string =>
  `ffffffffffff ${MAC} 0800 ${head} 0020 0000 ${fragment} 4011 0000 00000000 ffffffff ${ports} 000c 0000`
const ROUTER = 'fe80::9:a'
const neighbour = (type: string, from: string, to: string): string =>
  `333300000002 ${MAC} 86dd 60000000 0018 3a ff ${from} ${to} ${type}00 0000`
const [ROUTER_HEX, HOST_HEX] = [`fe80${'0'.repeat(20)}0009000a`, `fe80${'0'.repeat(20)}0009000b`]
const aimed = (type: string, target: string): string =>
  `3333ff00000a ${MAC} 86dd 60000000 0018 3a ff ${HOST_HEX} ${ROUTER_HEX} ${type}00 0000 00000000 ${target}`
// 10.0.0.1 is 0a000001.
const arp = (operation: string, sender: string, target: string): string =>
  `ffffffffffff ${MAC} 0806 0001 0800 0604 ${operation} ${MAC} ${sender} 000000000000 ${target}`
const ipv6 = (next: string, rest: string): string =>
  `333300000002 ${MAC} 86dd 60000000 0008 ${next} ff ${'00'.repeat(32)} ${rest}`

describe('renderProgram()', () => {
  for (const [name, match, hex, isMatch] of [
    ["a client's DHCP", ASKED.dhcp4, dhcp4('0044 0043'), true],
    ["a relay's", ASKED.dhcp4, dhcp4('0043 0043'), false],
    ["a server's", ASKED.dhcp4, dhcp4('0043 0044'), false],
    ['one with IP options', ASKED.dhcp4, dhcp4('0044 0043', '4600'), false],
    ['a first fragment', ASKED.dhcp4, dhcp4('0044 0043', '4500', '2000'), false],
    ['a later fragment', ASKED.dhcp4, dhcp4('0044 0043', '4500', '0010'), false],
    ['one that must not be fragmented', ASKED.dhcp4, dhcp4('0044 0043', '4500', '4000'), true],
    ['a cut one', ASKED.dhcp4, `ffffffffffff ${MAC} 0800 4500`, false],
    ["a server's answer", ANSWERED.dhcp4, dhcp4('0043 0044'), true],
    ['a question as an answer', ANSWERED.dhcp4, dhcp4('0044 0043'), false],
    ["a client's DHCPv6", ASKED.dhcp6, ipv6('11', '0222 0223'), true],
    ["a server's DHCPv6", ASKED.dhcp6, ipv6('11', '0223 0222'), false],
    ['the same as an answer', ANSWERED.dhcp6, ipv6('11', '0223 0222'), true],
    ['a router solicitation', ASKED.router, ipv6('3a', '8500'), true],
    ['a neighbour solicitation', ASKED.router, ipv6('3a', '8700'), false],
    ['UDP that looks like one', ASKED.router, ipv6('11', '8500'), false],
    ['a router advertisement', ANSWERED.router, ipv6('3a', '8600'), true],
    [
      "its neighbour's question",
      toNeighbourQuestion(ROUTER),
      neighbour('87', ROUTER_HEX, HOST_HEX),
      true,
    ],
    [
      "another's question",
      toNeighbourQuestion(ROUTER),
      neighbour('87', HOST_HEX, ROUTER_HEX),
      false,
    ],
    [
      "its neighbour's answer",
      toNeighbourAnswer(ROUTER),
      neighbour('88', HOST_HEX, ROUTER_HEX),
      true,
    ],
    [
      'an answer to another',
      toNeighbourAnswer(ROUTER),
      neighbour('88', ROUTER_HEX, HOST_HEX),
      false,
    ],
    ['a question to it', toNeighbourAnswer(ROUTER), neighbour('87', HOST_HEX, ROUTER_HEX), false],
    ['a question for its MAC', toQuestionFor(ROUTER), aimed('87', ROUTER_HEX), true],
    ["a question for another's", toQuestionFor(ROUTER), aimed('87', HOST_HEX), false],
    ['an answer with its MAC', toAnswerFor(ROUTER), aimed('88', ROUTER_HEX), true],
    ["an answer with another's", toAnswerFor(ROUTER), aimed('88', HOST_HEX), false],
    ['ARP for it', toQuestionFor('10.0.0.1'), arp('0001', '0a000002', '0a000001'), true],
    ['ARP for another', toQuestionFor('10.0.0.1'), arp('0001', '0a000001', '0a000002'), false],
    [
      'an answer as a question',
      toQuestionFor('10.0.0.1'),
      arp('0002', '0a000002', '0a000001'),
      false,
    ],
    ['its answer', toAnswerFor('10.0.0.1'), arp('0002', '0a000001', '0a000002'), true],
    ["another's answer", toAnswerFor('10.0.0.1'), arp('0002', '0a000002', '0a000001'), false],
    ['its own question', toAnswerFor('10.0.0.1'), arp('0001', '0a000001', '0a000002'), false],
    ['what the VM sends', fromMac(MAC, ASKED.router), ipv6('3a', '8500'), true],
    ['what another sends', fromMac('02:00:5e:00:53:02', ASKED.router), ipv6('3a', '8500'), false],
    ['what a third sends', fromMac('03:00:5e:00:53:01', ASKED.router), ipv6('3a', '8500'), false],
  ] as const)
    it(`${isMatch ? 'picks' : 'leaves'} ${name}`, () => {
      expect(runProgram(renderProgram(match), fromHex(hex))).to.equal(isMatch)
    })
})
