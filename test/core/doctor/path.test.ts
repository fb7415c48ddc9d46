import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  findOnPath,
  listNextSizes,
  listPaths,
  toMeasure,
  type PathMeasure,
} from '../../../core/doctor/path.ts'
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

describe('findOnPath()', () => {
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
      const findings = findOnPath({ ...well, ...more })
      expect(findings.map(({ kind, level }) => [kind, level])).to.deep.equal(want)
      const text = findings.map(({ what, remedy }) => `${what}. ${remedy}`).join('\n')
      for (const word of words) expect(text).to.include(word)
    })
})

const nothingHeard = { whole: [], delivered: [] }
const v6Path = { ...well, ...ipv6 }

describe('toMeasure()', () => {
  const rows: readonly {
    name: string
    heard: { whole: readonly number[]; delivered: readonly number[] }
    more?: Partial<PathMeasure>
    want: Partial<PathMeasure>
  }[] = [
    {
      name: 'everything arrives',
      heard: { whole: [128, 1496, 1500], delivered: [128, 1500, 3000] },
      want: { isArriving: true, isOpen: true, pathMtuBytes: 1500, hasFragments: true },
    },
    {
      name: 'nothing does',
      heard: nothingHeard,
      want: { isArriving: false, isOpen: false, pathMtuBytes: null, hasFragments: false },
    },
    {
      name: 'a firewall of the node drops all of it',
      heard: { whole: [128, 1500], delivered: [] },
      want: { isArriving: true, isOpen: false, hasFragments: false },
    },
    {
      name: 'fragments are lost',
      heard: { whole: [128, 1496, 1500], delivered: [128, 1500] },
      want: { isOpen: true, pathMtuBytes: 1500, hasFragments: false },
    },
    {
      name: 'the way is a short one',
      heard: { whole: [128, 1396, 1400], delivered: [128, 1400, 3000] },
      want: { pathMtuBytes: 1400, hasFragments: true },
    },
    {
      name: 'over IPv6 nothing longer is sent',
      heard: { whole: [128, 1500], delivered: [128, 1500] },
      more: ipv6,
      want: { isOpen: true, pathMtuBytes: 1500, hasFragments: null },
    },
  ]
  for (const { name, heard, more = {}, want } of rows)
    it(name, () => {
      expect(toMeasure({ ...well, ...more }, 14789, 1500, heard)).to.deep.include(want)
    })
})

/** Sends by a way that takes so much until there is nothing left to send. */
function find(mtuBytes: number, linkMtuBytes: number): { found: number | null; rounds: number } {
  const tried: number[] = []
  for (let rounds = 0; ; rounds += 1) {
    const whole = tried.filter((size) => size <= mtuBytes)
    const measure = toMeasure(well, 14789, linkMtuBytes, { whole, delivered: whole })
    const next = listNextSizes(measure, tried)
    if (next.length === 0) return { found: measure.pathMtuBytes, rounds }
    expect(new Set([...tried, ...next]).size).to.equal(tried.length + next.length)
    tried.push(...next)
  }
}

describe('listNextSizes()', () => {
  for (const [mtuBytes, linkMtuBytes] of [
    [1500, 1500],
    [1400, 1500],
    [1499, 1500],
    [128, 1500],
    [1500, 9000],
    [576, 9000],
    [1500, 59_000],
  ] as const)
    it(`finds ${mtuBytes} below ${linkMtuBytes} within five rounds`, () => {
      const { found, rounds } = find(mtuBytes, linkMtuBytes)
      expect(found).to.equal(mtuBytes)
      expect(rounds).to.be.at.most(mtuBytes === linkMtuBytes ? 1 : 5)
    })

  it('seeks no length where nothing arrives', () => {
    expect(listNextSizes(toMeasure(well, 14789, 1500, nothingHeard), [128, 1500])).to.deep.equal([])
  })

  it('sends what goes in fragments, on IPv4 alone', () => {
    expect(listNextSizes(well, [])).to.deep.equal([128, 1500, 3000])
    expect(listNextSizes({ ...well, linkMtuBytes: 60_000 }, [])).to.deep.equal([
      128, 60_000, 60_000,
    ])
    expect(listNextSizes(v6Path, [])).to.deep.equal([128, 1500])
  })
})

describe('renderCheckup()', () => {
  const visits = ['n1', 'n2'].map((node) => ({
    node,
    survey: newSurvey(acrossWire, node),
    reason: undefined,
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
    const visit = { node: 'n3', survey: undefined, reason: 'its agent is away' }
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
      /What is wrong:\n {2}- UDP port 14789 is closed .*\n(.*\n)* {4}Remedy: open/,
    )
    expect(text).to.match(/Hints:\n {2}- IP packets longer than 1400/)
    expect(text).to.include('- Node n3 could not be looked at: its agent is away')
    expect(text).to.include('- Nodes: forbidden').and.include('Left out:\n  - Something else')
    expect(text).to.match(/n1 +n2 +closed +- +1500 +lost/)
    expect(text).to.not.include('All is as it should be')
  })

  it("says what a node's agent could not read, or that there is none to ask", () => {
    const survey = newSurvey(acrossWire, 'n1')
    const { findings: _, ...older } = { ...survey, version: '0.3.0' }
    for (const [said, word] of [
      [{ ...survey, unseen: ['a device: no JSON'] }, 'On node n1 a device: no JSON'],
      [older, 'On node n1 devices are not compared with wires: an agent of release 0.3.0'],
    ] as const) {
      const visit = { node: 'n1', survey: said, reason: undefined }
      const checkup = toCheckup({ wireCount: 1, visits: [visit] }, [], [], nothing)
      expect(checkup.isClean).to.equal(false)
      expect(checkup.unknown.join()).to.include(word)
    }
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
