// Wires and nodes as doctor sees them, and what may be wrong with them.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { findAll } from '../../../core/doctor/doctor.ts'
import type { DoctorFacts } from '../../../core/doctor/facts.ts'
import type { Wire } from '../../../core/wire/wire.ts'
import { newClaim } from '../view/samples.ts'
import {
  acrossWire,
  aloneWire,
  changeSurvey,
  localWire,
  newDoctorFacts,
  newSurveyed,
  NOW,
} from './samples.ts'

export const across = newDoctorFacts(acrossWire)
export const local = newDoctorFacts(localWire)
export const alone = newDoctorFacts(aloneWire)
export const none: Wire = { ...acrossWire, ends: [], tunnelNodes: [], vni: undefined, reports: [] }
export const unplugged: Wire = {
  ...acrossWire,
  isUnplugged: true,
  vni: undefined,
  tunnelNodes: [],
  reports: acrossWire.reports.map((report) => ({ ...report, state: 'waiting' })),
}

export const addAttachment = (
  facts: DoctorFacts,
  ...more: Parameters<typeof newSurveyed>
): DoctorFacts =>
  changeSurvey(facts, ({ attachments }) => ({
    attachments: [...attachments, newSurveyed(...more)],
  }))
export const withWire = (facts: DoctorFacts, more: Partial<Wire>): DoctorFacts => ({
  ...facts,
  wires: facts.wires.map((wire) => ({ ...wire, ...more })),
})

export const old = newClaim(1, { containerID: 'old' })
export const tap = {
  version: 1,
  kind: 'tap',
  containerID: 'c1',
  ifname: 'tap1',
  netns: { path: '/run/netns/c1', inode: 1, bootId: 'b' },
  network: 'x',
  phase: 'ready',
  podLink: 'eth0',
  tap: 'tap0',
  mtuBytes: 1500,
} as const
export const surveyedTap = { attachment: tap, isSandboxThere: true, ageSeconds: 9 }
export const otherClaim = {
  vni: 77,
  wire: { namespace: 'lab', name: 'gone' },
  sinceMs: NOW - 120_000,
}

export interface Row {
  readonly name: string
  readonly facts: DoctorFacts
  readonly kinds: readonly string[]
  readonly words?: readonly string[]
}

/** A test for each. */
export function describeRows(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    for (const { name, facts, kinds, words = [] } of rows)
      it(name, () => {
        const findings = findAll(facts)
        expect(findings.map(({ kind }) => kind)).to.deep.equal(kinds)
        const text = findings.map(({ what, remedy }) => `${what}. ${remedy}`).join('\n')
        for (const word of words) expect(text).to.include(word)
      })
  })
}
