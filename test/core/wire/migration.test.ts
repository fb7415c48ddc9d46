import { expect } from 'chai'
import { describe, it } from 'mocha'

import { countFrames, noteState, type GuestArrival } from '../../../core/wire/migration.ts'

const AWAITED: GuestArrival = { ends: new Set(['c1@eth1']), state: 'running', before: new Map() }
const toMap = (counts: Readonly<Record<string, number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(counts))

describe('countFrames()', () => {
  it('counts from when the migration runs: what came before was no guest', () => {
    const pending = countFrames({ ...AWAITED, state: 'pending' }, toMap({ lw1: 3 }))
    expect(pending.isHere).to.equal(false)
    const begun = countFrames({ ...pending.arrival, state: 'running' }, toMap({ lw1: 3 }))
    expect(begun).to.deep.equal({
      arrival: { ...AWAITED, before: toMap({ lw1: 3 }) },
      isHere: false,
    })
    expect(countFrames(begun.arrival, toMap({ lw1: 3 })).isHere).to.equal(false)
    expect(countFrames(begun.arrival, toMap({ lw1: 4 })).isHere).to.equal(true)
  })

  it('hears the guest on any of its NICs, and takes later ones along', () => {
    const one = countFrames(AWAITED, toMap({ lw1: 0 })).arrival
    const both = countFrames(one, toMap({ lw1: 0, lw2: 7 }))
    expect(both).to.deep.equal({
      arrival: { ...AWAITED, before: toMap({ lw1: 0, lw2: 7 }) },
      isHere: false,
    })
    expect(countFrames(both.arrival, toMap({ lw1: 0, lw2: 8 })).isHere).to.equal(true)
  })

  it('hears the guest on a device that was made again, and counts from zero', () => {
    const one = countFrames(AWAITED, toMap({ lw1: 7 })).arrival
    const again = countFrames(one, toMap({ lw1: 0 }))
    expect(again.isHere).to.equal(false)
    expect(countFrames(again.arrival, toMap({ lw1: 1 })).isHere).to.equal(true)
  })

  it('goes by the VMI where the guest says nothing, and hears nobody once it has failed', () => {
    expect(countFrames({ ...AWAITED, state: 'done' }, toMap({ lw1: 0 })).isHere).to.equal(true)
    const failed: GuestArrival = { ...AWAITED, state: 'failed', before: toMap({ lw1: 0 }) }
    expect(countFrames(failed, toMap({ lw1: 5 })).isHere).to.equal(false)
  })
})

describe('noteState()', () => {
  const pending: GuestArrival = { ...AWAITED, state: 'pending' }

  it('hears whoever comes while nobody can be asked, unless the migration is over', () => {
    expect(noteState(pending, undefined).state).to.equal('running')
    for (const state of ['running', 'failed', 'done'] as const)
      expect(noteState({ ...AWAITED, state }, undefined).state).to.equal(state)
  })

  it('counts anew where the migration turns out not to run yet', () => {
    const arrival = { ...AWAITED, before: toMap({ lw1: 3 }) }
    expect(noteState(arrival, 'pending')).to.deep.equal(pending)
    expect(noteState(arrival, 'running')).to.deep.equal(arrival)
  })
})
