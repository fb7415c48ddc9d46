import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderDescription, toDescription } from '../../../core/view/description.ts'
import type { WireFacts } from '../../../core/wire/facts.ts'
import { newClaim, newFacts, toHost, TUNNEL } from './samples.ts'

const [a, b] = [newClaim(1), newClaim(2)]
const NOW = Date.parse('2026-11-21T12:10:00Z')
const render = (facts: WireFacts): string => renderDescription(toDescription(facts), NOW)

const event = {
  time: '2026-11-21T12:00:00Z',
  type: 'Normal',
  reason: 'WireConnected',
  object: 'Pod/h1',
  message: 'wire lab/r1-h1 connects pod/h1 eth1, pod/h2 eth1',
}

describe('renderDescription()', () => {
  it('tells a wire that is well', () => {
    const [A, B] = [toHost(a), toHost(b)]
    const none = '12   1200    0      7     700     0'
    expect(render(newFacts([a, b], { events: [event] })).split('\n')).to.deep.equal([
      'Name:       r1-h1',
      'Namespace:  lab',
      'State:      Connected: both ends are joined',
      'VNI:        4096',
      '',
      'What is wrong: nothing that can be seen',
      '',
      'Path:',
      `  pod/h1 eth1 ── ${A} ══ ${TUNNEL} ─┐  n1, 192.0.2.1`,
      `${''.padEnd(53)}┆  VNI 4096, UDP port 14789`,
      `  pod/h2 eth1 ── ${B} ══ ${TUNNEL} ─┘  n2, 192.0.2.2`,
      '',
      'Ends:',
      '  END           NODE   ADDRESS     MAC                 MTU    OFFLOAD   CONTAINER',
      '  pod/h1 eth1   n1     192.0.2.1   02:00:00:00:00:01   1450   on        c1',
      '  pod/h2 eth1   n2     192.0.2.2   02:00:00:00:00:01   1450   on        c2',
      '',
      'Counters:',
      '  NODE   DEVICE            IN   BYTES   LOST   OUT   BYTES   LOST   REDIRECT LOST',
      `  n1     pod/h1 eth1       ${none}      -`,
      `  n1     ${A}   ${none}      3`,
      `  n1     ${TUNNEL}   ${none}      3`,
      `  n2     pod/h2 eth1       ${none}      -`,
      `  n2     ${B}   ${none}      3`,
      `  n2     ${TUNNEL}   ${none}      3`,
      '',
      'Events:',
      '  10m ago Normal WireConnected Pod/h1',
      '    wire lab/r1-h1 connects pod/h1 eth1, pod/h2 eth1',
    ])
  })

  it('tells who stands by, and what for', () => {
    const facts = newFacts([a, b])
    const standbys = [
      { ...newClaim(1, { node: 'n3', containerID: 'target-of-migration' }), isTarget: true },
      { ...newClaim(2, { containerID: 'older' }), isTarget: false },
    ]
    const text = render({ ...facts, wire: { ...facts.wire, standbys } })
    expect(text).to.include(
      [
        'Standing by:',
        '  END           NODE   CONTAINER       WHAT FOR',
        '  pod/h1 eth1   n3     target-of-mig   has the end once the guest runs there',
        '  pod/h2 eth1   n2     older           older; has the end again if the newer one goes',
      ].join('\n'),
    )
  })

  it('tells what each end takes, as far as its node says', () => {
    const facts = newFacts([a, b])
    const looks = facts.looks.map((look, at) => ({
      ...look,
      inspection:
        look.inspection === undefined
          ? undefined
          : {
              ...look.inspection,
              ends: look.inspection.ends.map((end) => ({
                ...end,
                offload: at === 0 ? false : null,
              })),
            },
    }))
    const said = render({ ...facts, looks })
    expect(said)
      .to.match(/ 1450 +off +c1$/m)
      .and.match(/ 1450 +- +c2$/m)
  })

  it("tells whether a VM's guest is shown the carrier, and a machine the same", () => {
    const vm = newClaim(1, { holder: 'vm/r1' })
    const facts = newFacts([vm, b])
    const said = { end: 'c1@eth1', reason: 'Forbidden', message: 'no rights '.repeat(20).trim() }
    const reports = facts.wire.reports.map((report) =>
      report.node === 'n1' ? { ...report, guests: [said] } : report,
    )
    const told = { ...facts, wire: { ...facts.wire, reports } }
    expect(toDescription(told).carrier).to.include({ status: 'False', reason: 'Forbidden' })
    expect(toDescription(newFacts([a, b])).carrier).to.equal(null)
    const lines = render(told).split('\n')
    const at = lines.findIndex((line) => line.startsWith('Carrier:'))
    expect(lines[at]).to.match(/^Carrier: {4}Forbidden: the guest of vm\/r1 eth1 is not shown/)
    expect(lines[at + 1]).to.match(/^ {12}no rights|^ {12}rights/)
    for (const line of lines) expect(line.length, line).to.be.at.most(100)
  })

  it('says what could not be found out, and no counters where none were read', () => {
    const looks = [{ node: 'n1', inspection: undefined, reason: 'no agent is on it' }]
    const text = render(newFacts([a], { looks, unknown: ['Events: forbidden'] }))
    expect(text).to.include('Counters: none could be read')
    expect(text).to.include(
      'Not known:\n  - Node n1 could not be looked at: no agent is on it\n  - Events: forbidden',
    )
  })

  it('tells what is wrong before anything else, and the remedy with it', () => {
    const text = render(newFacts([a]))
    expect(text).to.match(
      /What is wrong:\n {2}- Only pod\/h1 eth1 is plugged in\n {4}Remedy: attach/,
    )
    expect(text.indexOf('What is wrong')).to.be.lessThan(text.indexOf('Path'))
  })

  it('keeps to 100 columns, also with long words', () => {
    const facts = newFacts([a, newClaim(2, { mtuBytes: 9000 })], {
      events: [{ ...event, message: 'word '.repeat(100) }],
      unknown: ['reason '.repeat(50)],
    })
    for (const line of render(facts).split('\n')) expect(line.length, line).to.be.at.most(100)
  })

  it('shows the newest events, the last one last', () => {
    const events = Array.from({ length: 30 }, (_, at) => ({
      ...event,
      time: `2026-11-21T12:00:${String(at).padStart(2, '0')}Z`,
      message: `event-${at}`,
    }))
    const shown = [
      ...render(newFacts([a, b], { events: events.toReversed() })).matchAll(/event-(\d+)/g),
    ]
    expect(shown.map(([, at]) => Number(at))).to.deep.equal([
      20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
    ])
  })
})

describe('toDescription()', () => {
  it('has the same keys, whatever is known', () => {
    const whole = toDescription(newFacts([a, b]))
    const bare = toDescription(newFacts([], { looks: [] }))
    expect(Object.keys(bare)).to.deep.equal(Object.keys(whole))
    expect(whole.ends[0]).to.include({ holder: 'pod/h1', mac: '02:00:00:00:00:01' })
  })
})
