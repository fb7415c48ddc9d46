import { expect } from 'chai'
import { describe, it } from 'mocha'

import { summarizeCarrier } from '../../../core/guest/carrier-summary.ts'
import { reportGuest, type EndClaim, type GuestReport, type Wire } from '../../../core/wire/wire.ts'
import { toWireObject, type WireObject } from '../../../core/wire/object.ts'
import { newClaim } from '../view/samples.ts'
import { newWire } from '../samples.ts'

const R1 = newClaim(1, { holder: 'vm/r1' })
const R2 = newClaim(2, { holder: 'vm/r2' })
const H2 = newClaim(2)
const NOW = new Date('2026-01-02T03:04:05Z')

function newReported(
  ends: readonly EndClaim[],
  guests: readonly Partial<GuestReport>[] = [],
): Wire {
  const reported = (node: string): readonly GuestReport[] =>
    guests.flatMap((guest, at) => {
      const end = ends[at]
      if (end?.node !== node || guest.reason === undefined) return []
      return [{ end: `${end.containerID}@${end.ifname}`, reason: guest.reason, ...guest }]
    })
  return newWire(ends, {
    reports: ends.map(({ node }) => ({ node, state: 'joined', ends: [], guests: reported(node) })),
  })
}

const shown = { reason: 'Shown' }
const forbidden = { reason: 'Forbidden', message: 'no rights' }

describe('summarizeCarrier()', () => {
  const rows = [
    { name: 'two pods', wire: newReported([newClaim(1), H2]), want: undefined },
    {
      name: 'a VM nobody has reported on',
      wire: newReported([R1, H2]),
      want: { status: 'Unknown', reason: 'Pending' },
      word: 'vm/r1 eth1: node n1 has not said yet',
    },
    {
      name: 'a VM and a pod',
      wire: newReported([R1, H2], [shown]),
      want: { status: 'True', reason: 'Shown' },
      word: 'the guest of vm/r1 eth1 is shown the carrier',
    },
    {
      name: 'two VMs',
      wire: newReported([R1, R2], [shown, shown]),
      want: { status: 'True', reason: 'Shown' },
      word: 'vm/r1 eth1 is shown the carrier; the guest of vm/r2',
    },
    {
      name: 'one of two VMs',
      wire: newReported([R1, R2], [shown, forbidden]),
      want: { status: 'False', reason: 'Forbidden' },
      word: 'the guest of vm/r2 eth1 is not shown the carrier: no rights',
    },
    {
      name: 'one refused, one not heard of',
      wire: newReported([R1, R2], [{}, forbidden]),
      want: { status: 'False', reason: 'Forbidden' },
      word: 'has not said yet whether its guest is shown the carrier; the guest of vm/r2',
    },
    {
      name: 'a reason without words',
      wire: newReported([R1], [{ reason: 'NotAsked' }]),
      want: { status: 'False', reason: 'NotAsked' },
      word: 'not shown the carrier: NotAsked',
    },
  ]
  for (const { name, wire, want, word } of rows)
    it(`${name}: ${want?.reason ?? 'nothing to say'}`, () => {
      const summary = summarizeCarrier(wire)
      if (want === undefined) expect(summary).to.equal(undefined)
      else expect(summary).to.include(want)
      if (word !== undefined) expect(summary?.message).to.include(word)
    })
})

function listConditions(object: WireObject): readonly Record<string, unknown>[] {
  return object.status?.['conditions'] as Record<string, unknown>[]
}

describe('the condition CarrierShown', () => {
  it('stands beside Connected, for wires with a VM', () => {
    const rows = [
      { ends: [newClaim(1), H2], want: ['Connected'] },
      { ends: [R1, H2], want: ['Connected', 'CarrierShown'] },
    ]
    for (const { ends, want } of rows) {
      const types = listConditions(toWireObject(newReported(ends), undefined, NOW))
      expect(types.map(({ type }) => type)).to.deep.equal(want)
    }
  })

  it('keeps its time while it says the same, and each condition its own', () => {
    const first = toWireObject(newReported([R1], [shown]), undefined, NOW)
    const later = new Date('2026-01-02T04:00:00Z')
    const listTimes = (guest: Partial<GuestReport>): readonly unknown[] =>
      listConditions(toWireObject(newReported([R1], [guest]), first, later)).map(
        ({ lastTransitionTime }) => lastTransitionTime,
      )
    const then = '2026-01-02T03:04:05Z'
    expect(listTimes(shown)).to.deep.equal([then, then])
    expect(listTimes(forbidden)).to.deep.equal([then, '2026-01-02T04:00:00Z'])
  })
})

describe('reportGuest()', () => {
  const wire = newReported([R1, R2], [shown, shown])
  const guest = { end: 'c1@eth1', ...forbidden }

  it("replaces what the end's node said of it", () => {
    const told = reportGuest(wire, guest)
    expect(told?.reports.find(({ node }) => node === 'n1')?.guests).to.deep.equal([guest])
    expect(told?.reports.find(({ node }) => node === 'n2')).to.deep.equal(wire.reports[1])
  })

  it('changes nothing where it says the same, or of an end that is gone or not reported on', () => {
    expect(reportGuest(wire, { end: 'c1@eth1', ...shown })).to.equal(wire)
    expect(reportGuest(wire, { ...guest, end: 'c9@eth1' })).to.equal(wire)
    const silent = { ...wire, reports: [] }
    expect(reportGuest(silent, guest)).to.equal(silent)
    expect(reportGuest(undefined, guest)).to.equal(undefined)
  })
})
