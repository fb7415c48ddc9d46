import { expect } from 'chai'
import { describe, it } from 'mocha'

import { drawPath } from '../../../core/view/path.ts'
import { changeEnd, changeLook, newClaim, newDevice, newFacts, toHost, TUNNEL } from './samples.ts'

const [a, b] = [newClaim(1), newClaim(2)]
const near = newClaim(2, { node: 'n1' })
const [A, B] = [toHost(a), toHost(b)]
const across = newFacts([a, b])
const blind = (node: string) => ({
  ...across,
  looks: across.looks.map((look) =>
    look.node === node ? { node, inspection: undefined, reason: 'no agent' } : look,
  ),
})

const rows = [
  {
    name: 'a wire on one node is one line',
    facts: newFacts([a, near]),
    want: [`pod/h1 eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a wire across nodes turns at the underlay',
    facts: across,
    want: [
      `pod/h1 eth1 ── ${A} ══ ${TUNNEL} ─┐  n1, 192.0.2.1`,
      `${''.padEnd(51)}┆  VNI 4096, UDP port 14789`,
      `pod/h2 eth1 ── ${B} ══ ${TUNNEL} ─┘  n2, 192.0.2.2`,
    ],
  },
  {
    name: 'an end alone leads to nobody',
    facts: newFacts([a]),
    want: [`pod/h1 eth1 ── ${A} ─╳ nobody at the other end   (n1)`],
  },
  {
    name: 'a cable that is taken out',
    facts: { ...across, wire: { ...across.wire, isUnplugged: true } },
    want: [
      `pod/h1 eth1 ── ${A} ─ ─ the cable is out   (n1)`,
      `pod/h2 eth1 ── ${B} ─ ─ the cable is out   (n2)`,
    ],
  },
  {
    name: 'a host end that is down because the far end is',
    facts: changeLook(newFacts([a, newClaim(2, { node: 'n1', isUp: false })]), 'n1', (inspection) =>
      changeEnd(inspection, { hostEnd: newDevice(A, B, { isUp: false }) }),
    ),
    want: [`pod/h1 eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  { name: 'a wire without ends', facts: newFacts([]), want: ['nobody is plugged in'] },
  {
    name: "a VM's end shows its tap",
    facts: changeLook(newFacts([newClaim(1, { holder: 'vm/r1' }), near]), 'n1', (inspection) =>
      changeEnd(inspection, { tap: newDevice('tap1', 'eth1'), podEnd: newDevice('eth1', 'tap1') }),
    ),
    want: [`vm/r1 ── tap1 ══ eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a tap that is not joined',
    facts: changeLook(newFacts([newClaim(1, { holder: 'vm/r1' }), near]), 'n1', (inspection) =>
      changeEnd(inspection, { tap: newDevice('tap1', 'eth1'), podEnd: newDevice('eth1') }),
    ),
    want: [`vm/r1 ── tap1 ═╳═ eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a macvtap sends through the device below it',
    facts: changeLook(newFacts([newClaim(1, { holder: 'vm/r1' }), near]), 'n1', (inspection) =>
      changeEnd(inspection, {
        tap: newDevice('tap1', undefined, { below: 'eth1' }),
        podEnd: newDevice('eth1', 'tap1'),
      }),
    ),
    want: [`vm/r1 ── tap1 ══ eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a macvtap that nothing leads to is not joined',
    facts: changeLook(newFacts([newClaim(1, { holder: 'vm/r1' }), near]), 'n1', (inspection) =>
      changeEnd(inspection, {
        tap: newDevice('tap1', undefined, { below: 'eth1' }),
        podEnd: newDevice('eth1'),
      }),
    ),
    want: [`vm/r1 ── tap1 ═╳═ eth1 ── ${A} ══ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a host end that leads elsewhere breaks the line',
    facts: changeLook(newFacts([a, near]), 'n1', (inspection) =>
      changeEnd(inspection, { hostEnd: newDevice(A, 'lwother') }),
    ),
    want: [`pod/h1 eth1 ── ${A} ═╳═ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a host end that is down breaks the line',
    facts: changeLook(newFacts([a, near]), 'n1', (inspection) =>
      changeEnd(inspection, { hostEnd: newDevice(A, B, { isUp: false }) }),
    ),
    want: [`pod/h1 eth1 ── ${A} ═╳═ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a host end that is gone',
    facts: changeLook(newFacts([a, near]), 'n1', (inspection) =>
      changeEnd(inspection, { hostEnd: null }),
    ),
    want: [`pod/h1 eth1 ─╳─ (${A} is gone) ═╳═ ${B} ── pod/h2 eth1   (n1)`],
  },
  {
    name: 'a tunnel that is gone breaks the line',
    facts: changeLook(across, 'n2', (inspection) => ({ ...inspection, tunnel: null })),
    want: [
      `pod/h1 eth1 ── ${A} ══ ${TUNNEL} ──┐  n1, 192.0.2.1`,
      `${''.padEnd(52)}┆  VNI 4096, UDP port 14789`,
      `pod/h2 eth1 ── ${B} ═╳═ ${TUNNEL} ─┘  n2, 192.0.2.2`,
    ],
  },
  {
    name: 'a node that nobody could look at is not claimed to be well',
    facts: blind('n1'),
    want: [
      `pod/h1 eth1 ── ${A} ═?═ ${TUNNEL} ─┐  n1, 192.0.2.1`,
      `${''.padEnd(52)}┆  VNI 4096, UDP port 14789`,
      `pod/h2 eth1 ── ${B} ══ ${TUNNEL} ──┘  n2, 192.0.2.2`,
    ],
  },
  {
    name: 'a wire that crosses nodes and has no VNI yet',
    facts: { ...blind('n1'), looks: [], wire: { ...across.wire, vni: undefined } },
    want: [
      `pod/h1 eth1 ── ${A} ═?═ ${TUNNEL} ─┐  n1, 192.0.2.1`,
      `${''.padEnd(52)}┆  no VNI yet`,
      `pod/h2 eth1 ── ${B} ═?═ ${TUNNEL} ─┘  n2, 192.0.2.2`,
    ],
  },
]

describe('drawPath()', () => {
  for (const { name, facts, want } of rows)
    it(name, () => {
      expect(drawPath(facts)).to.deep.equal(want)
    })

  it('stays within 100 columns', () => {
    for (const line of drawPath(across)) expect(line.length).to.be.at.most(100)
  })
})
