import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  ANSWERED,
  ASKED,
  fromMac,
  renderProgram,
  toAnswerFor,
  toForeignRebind,
  toNeighbourAnswer,
  toNeighbourQuestion,
  toQuestionFor,
} from '../../../core/steps/frame-match.ts'
import { fromHex } from '../../../core/tester/bytes.ts'

const MAC = '02:00:5e:00:53:01'

/** The kernel's way through such a program (Documentation/networking/filter.rst), for what these use of it. */
function runProgram(text: string, frame: Uint8Array): boolean {
  const [count, ...lines] = text.split(',').slice(0, -1)
  expect(lines).to.have.length(Number(count))
  const program = lines.map((line) => line.split(' ').map(Number))
  let [accumulator, index] = [0, 0]
  for (let at = 0; ; at += 1) {
    const [code, ifTrue = 0, ifFalse = 0, k = 0] = program[at] ?? []
    const bytes = { 0x30: 1, 0x28: 2, 0x20: 4, 0x48: 2, 0x40: 4 }[code ?? 0]
    if (bytes !== undefined) {
      const start = k + (code === 0x48 || code === 0x40 ? index : 0)
      // What is read behind the end is no match.
      if (start + bytes > frame.length) return false
      accumulator = frame.slice(start, start + bytes).reduce((sum, byte) => sum * 256 + byte, 0)
    } else if (code === 0x01) index = k
    else if (code === 0x07) index = accumulator
    else if (code === 0x04) accumulator += k
    else if (code === 0x0c) accumulator += index
    else if (code === 0x54) accumulator &= k
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
const OWN = toForeignRebind('fd00:9::2')
const address6 = (last: string): string => `fd000009${'0'.repeat(20)}${last}`
const option = (code: string, hex: string): string =>
  `${code} ${(hex.length / 2).toString(16).padStart(4, '0')} ${hex}`
const association = (...inside: readonly string[]): string =>
  option('0003', `00000001${'0'.repeat(16)}${inside.join('')}`.replaceAll(' ', ''))
const named = (last: string): string => option('0005', `${address6(last)}${'0'.repeat(16)}`)
const CLIENT = option('0001', '0003000102005e005301')
const dhcp6 = (type: string, ...options: readonly string[]): string =>
  ipv6('11', `0222 0223 0000 0000 ${type}6c3277 ${options.join(' ')}`)
const OPTIONS = [CLIENT, option('0006', '00170018'), option('0008', '0000'), option('0010', '00')]

describe('renderProgram()', () => {
  for (const [name, match, hex, isMatch] of [
    ['a rebind of another address', OWN, dhcp6('06', ...OPTIONS, association(named('0077'))), true],
    ['one of the same', OWN, dhcp6('06', ...OPTIONS, association(named('0002'))), false],
    ['one behind nothing', OWN, dhcp6('06', association(named('0077'))), true],
    ['one of the same first', OWN, dhcp6('06', association(named('0002'), named('0077'))), false],
    ['one of none', OWN, dhcp6('06', CLIENT, association()), false],
    [
      'one of a status first',
      OWN,
      dhcp6('06', association(option('000d', '0000'), named('0077'))),
      false,
    ],
    ['one without association', OWN, dhcp6('06', ...OPTIONS), false],
    [
      'one that is cut off',
      OWN,
      dhcp6('06', CLIENT, association(named('0077')).slice(0, -40)),
      false,
    ],
    ['one with an option that is too long', OWN, dhcp6('06', '0001 ffff 00'), false],
    [
      'one behind all options that are looked at',
      OWN,
      dhcp6('06', ...Array<string>(15).fill(CLIENT), association(named('0077'))),
      true,
    ],
    [
      'one behind more',
      OWN,
      dhcp6('06', ...Array<string>(16).fill(CLIENT), association(named('0077'))),
      false,
    ],
    ['a renewal', OWN, dhcp6('05', CLIENT, association(named('0077'))), false],
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
