import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  findLongest,
  findPathFaults,
  isHeard,
  listPaths,
  type PathMeasure,
} from '../../../core/doctor-path.ts'
import { renderCheckup, toCheckup } from '../../../core/view/checkup.ts'
import { newClaim } from '../view/samples.ts'
import { A, acrossWire, B, localWire, newSurvey } from './samples.ts'

const well: PathMeasure = {
  from: 'n1',
  to: 'n2',
  fromAddress: '192.0.2.1',
  toAddress: '192.0.2.2',
  vni: 4096,
  port: 14789,
  linkMtuBytes: 1500,
  isArriving: true,
  isOpen: true,
  pathMtuBytes: 1500,
  hasFragments: true,
}
const ipv6 = { fromAddress: '2001:db8::1', toAddress: '2001:db8::2', hasFragments: null }

describe('listPaths()', () => {
  it('has both ways between nodes that share a wire, once however many they share', () => {
    const more = { ...acrossWire, name: 'other', vni: 5, ends: [B, A] }
    expect(
      listPaths([acrossWire, more]).map(({ from, to, fromAddress, toAddress, vni }) =>
        [from, to, fromAddress, toAddress, vni].join(' '),
      ),
    ).to.deep.equal(['n1 n2 192.0.2.1 192.0.2.2 5', 'n2 n1 192.0.2.2 192.0.2.1 5'])
  })

  const none = [
    { name: 'on one node', wire: localWire },
    { name: 'of which one end is out', wire: { ...acrossWire, ends: [A] } },
    { name: 'that has no VNI yet', wire: { ...acrossWire, vni: undefined } },
    { name: 'of which one node has no tunnel yet', wire: { ...acrossWire, tunnelNodes: ['n1'] } },
  ]
  for (const { name, wire } of none)
    it(`has none for a wire ${name}`, () => {
      expect(listPaths([wire])).to.deep.equal([])
    })
})

describe('findPathFaults()', () => {
  const rows: readonly {
    name: string
    more: Partial<PathMeasure>
    want: readonly (readonly [string, 'wrong' | 'hint'])[]
    words?: readonly string[]
  }[] = [
    { name: 'a way that is well', more: {}, want: [] },
    { name: 'a way over IPv6 that is well', more: ipv6, want: [] },
    {
      name: 'nothing arrives',
      more: { isArriving: false, isOpen: false, pathMtuBytes: null, hasFragments: false },
      want: [['port-closed', 'wrong']],
      words: ['UDP port 14789', 'from n1 (192.0.2.1) to n2 (192.0.2.2)', 'nothing arrives'],
    },
    {
      name: 'what arrives is dropped there',
      more: { isOpen: false, hasFragments: false },
      want: [['port-closed', 'wrong']],
      words: ['a firewall on n2', 'open UDP port 14789 in the firewall of n2'],
    },
    {
      name: 'a shorter way that fragments',
      more: { pathMtuBytes: 1400 },
      want: [['path-mtu', 'hint']],
      words: ['longer than 1400 bytes', '"mtu": 1350'],
    },
    {
      name: 'a shorter way that does not',
      more: { pathMtuBytes: 1400, hasFragments: false },
      want: [
        ['path-mtu', 'wrong'],
        ['fragments-lost', 'wrong'],
      ],
    },
    {
      name: 'fragments are dropped',
      more: { hasFragments: false },
      want: [['fragments-lost', 'wrong']],
      words: ['more than 1450 bytes', '"mtu": 1450'],
    },
    {
      name: 'a shorter way over IPv6, where nothing is fragmented',
      more: { ...ipv6, pathMtuBytes: 1280 },
      want: [['path-mtu', 'wrong']],
      words: ['"mtu": 1210'],
    },
  ]
  for (const { name, more, want, words = [] } of rows)
    it(name, () => {
      const findings = findPathFaults({ ...well, ...more })
      expect(findings.map(({ kind, level }) => [kind, level])).to.deep.equal(want)
      const text = findings.map(({ what, cure }) => `${what}. ${cure}`).join('\n')
      for (const word of words) expect(text).to.include(word)
    })
})

describe('what was heard', () => {
  const list = [
    { address: '192.0.2.1', bytes: 128 },
    { address: '192.0.2.1', bytes: 1400 },
    { address: '192.0.2.9', bytes: 9000 },
  ]
  it('is told by its sender and its length', () => {
    expect(isHeard(list, '192.0.2.1', 128)).to.equal(true)
    expect(isHeard(list, '192.0.2.9', 128)).to.equal(false)
    expect(findLongest(list, '192.0.2.1')).to.equal(1400)
    expect(findLongest(list, '192.0.2.2')).to.equal(undefined)
  })
})

describe('renderCheckup()', () => {
  const visits = ['n1', 'n2'].map((node) => ({
    node,
    survey: newSurvey(acrossWire, node),
    fault: undefined,
  }))
  const nothing = { unknown: [], notes: [] }

  it('says so when all is well', () => {
    const checkup = toCheckup({ wireCount: 1, visits }, [], [well], nothing)
    expect(checkup.isClean).to.equal(true)
    expect(renderCheckup(checkup).split('\n')).to.deep.equal([
      'Looked at 1 wire and 2 nodes: n1, n2',
      '',
      'Ways between nodes:',
      '  FROM   TO   UDP 14789   PATH MTU   LINK MTU   FRAGMENTS',
      '  n1     n2   open        1500       1500       pass',
      '',
      'All is as it should be.',
    ])
  })

  it('says what is wrong, what is only a hint, and what could not be seen', () => {
    const visit = { node: 'n3', survey: undefined, fault: 'its agent is away' }
    const paths = [
      { ...well, isOpen: false, isArriving: false, pathMtuBytes: null, hasFragments: false },
      { ...well, pathMtuBytes: 1400 },
    ]
    const checkup = toCheckup({ wireCount: 2, visits: [visit] }, [], paths, {
      unknown: ['Nodes: forbidden'],
      notes: ['Something else'],
    })
    expect(checkup.isClean).to.equal(false)
    const text = renderCheckup(checkup)
    expect(text).to.match(/^Looked at 2 wires and 0 nodes\n/)
    expect(text).to.match(
      /What is wrong:\n {2}- UDP port 14789 is closed .*\n(.*\n)* {4}Cure: open/,
    )
    expect(text).to.match(/Hints:\n {2}- IP packets longer than 1400/)
    expect(text).to.include('- Node n3 could not be looked at: its agent is away')
    expect(text).to.include('- Nodes: forbidden').and.include('Left out:\n  - Something else')
    expect(text).to.match(/n1 +n2 +closed +- +1500 +lost/)
    expect(text).to.not.include('All is as it should be')
  })

  it('does not call clean what could not be seen', () => {
    const unknown = ['Nodes: forbidden']
    expect(toCheckup({ wireCount: 0, visits }, [], [], { ...nothing, unknown }).isClean).to.equal(
      false,
    )
    const notes = ['left out']
    expect(toCheckup({ wireCount: 0, visits }, [], [], { ...nothing, notes }).isClean).to.equal(
      true,
    )
  })

  it('draws a way over IPv6 without a word on fragments', () => {
    const way = { ...well, ...ipv6, fromAddress: newClaim(1).address }
    const text = renderCheckup(toCheckup({ wireCount: 1, visits }, [], [way], nothing))
    expect(text).to.match(/n1 +n2 +open +1500 +1500 +-$/m)
  })
})
