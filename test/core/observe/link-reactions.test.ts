import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { LinkEvent } from '../../../core/observe/kernel-event.ts'
import {
  NOTHING_HEARD,
  reactToOurs,
  reactToPods,
  reactToSettled,
  setIndex,
  type LinkFacts,
} from '../../../core/observe/link-reactions.ts'

const EVENT: LinkEvent = {
  nsid: 'current',
  ifindex: 7,
  name: 'lw1',
  isUp: true,
  isDeleted: false,
  mtuBytes: 9216,
  isSilent: true,
}
const POD: LinkEvent = { ...EVENT, nsid: 3, ifindex: 2, name: 'eth1', peer: { ifindex: 7 } }
const HEARD = setIndex(NOTHING_HEARD, 'lw1', 7)
const COMPARE = { do: 'compare', dev: 'lw1' }
const FORGET = { do: 'forget-pod-end', dev: 'lw1' }

function toFacts(isUp?: boolean): LinkFacts {
  return { isOurs: (dev) => dev.startsWith('lw'), isPodEndUp: () => isUp }
}

describe('setIndex()', () => {
  it('gives a device one number, and none to one that is gone', () => {
    const again = setIndex(setIndex(HEARD, 'lw2', 8), 'lw1', 9)
    expect([...again.hostEnds]).to.deep.equal([
      [8, 'lw2'],
      [9, 'lw1'],
    ])
    expect(setIndex(again, 'lw1', 9)).to.equal(again)
    expect(setIndex(again, 'lw3', undefined)).to.equal(again)
    expect([...setIndex(again, 'lw1', undefined).hostEnds]).to.deep.equal([[8, 'lw2']])
  })
})

describe('reactToOurs()', () => {
  it('compares a device of ours, and learns its number', () => {
    const [heard, reactions] = reactToOurs(NOTHING_HEARD, EVENT, toFacts())
    expect(reactions).to.deep.equal([COMPARE])
    expect(heard.hostEnds.get(7)).to.equal('lw1')
  })
  it("leaves others' alone", () => {
    expect(reactToOurs(HEARD, { ...EVENT, ifindex: 1, name: 'eth0' }, toFacts())).to.deep.equal([
      HEARD,
      [],
    ])
  })
  it('misses one that was renamed under its old name', () => {
    const [, reactions] = reactToOurs(HEARD, { ...EVENT, name: 'mine' }, toFacts())
    expect(reactions).to.deep.equal([COMPARE])
  })
  it('forgets all of one that is gone', () => {
    const [, reactions] = reactToOurs(HEARD, { ...EVENT, isDeleted: true }, toFacts())
    expect(reactions).to.deep.equal([FORGET, { do: 'forget-device', dev: 'lw1' }, COMPARE])
  })
})

describe('reactToPods()', () => {
  it('knows a pod end by the number of its host end', () => {
    const { peer: _, ...alone } = POD
    for (const event of [alone, { ...POD, peer: { ifindex: 8 } }])
      expect(reactToPods(HEARD, event, toFacts(false))).to.deep.equal([HEARD, []])
  })
  it('waits for one that says other than what is known, once', () => {
    expect(reactToPods(HEARD, POD, toFacts(true))).to.deep.equal([HEARD, []])
    const [heard, reactions] = reactToPods(HEARD, POD, toFacts(false))
    expect(reactions).to.deep.equal([{ do: 'settle', dev: 'lw1' }])
    expect(reactToPods(heard, POD, toFacts(false))).to.deep.equal([heard, []])
    const [settled, then] = reactToSettled(heard, 'lw1')
    expect(then).to.deep.equal([FORGET, { do: 'reconcile', dev: 'lw1', isSettled: true }])
    expect(reactToSettled(settled, 'lw1')).to.deep.equal([settled, []])
  })
  it('reads one that is gone, or of which nothing is known, whatever was waited for', () => {
    const [waiting] = reactToPods(HEARD, POD, toFacts(false))
    for (const [event, facts] of [
      [{ ...POD, isDeleted: true }, toFacts(true)],
      [POD, toFacts()],
    ] as const) {
      const [heard, reactions] = reactToPods(waiting, event, facts)
      expect(reactions).to.deep.equal([FORGET, { do: 'reconcile', dev: 'lw1', isSettled: false }])
      expect(reactToSettled(heard, 'lw1')[1]).to.deep.equal([])
    }
  })
})
