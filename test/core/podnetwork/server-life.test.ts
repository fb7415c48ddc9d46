import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  NEW_LIFE,
  setEnded,
  setEndingForClient,
  setForgotten,
  setSandboxAway,
  setStuck,
} from '../../../core/podnetwork/server-life.ts'

describe("the life of a VM's DHCP server", () => {
  it('ends at once for a client that is stuck, and then not before a while', () => {
    const [life, inMs] = setStuck(NEW_LIFE, 'declined', 7_000)
    expect(inMs).to.equal(0)
    const [, nextInMs] = setStuck(setEndingForClient(life, 7_000), 'declined', 8_000)
    expect(nextInMs).to.equal(4_000)
    expect(setStuck(setEndingForClient(life, 7_000), 'declined', 99_000)[1]).to.equal(0)
  })

  it('starts at once again, without what was in its way', () => {
    for (const [why, isToForget] of [
      ['given-away', true],
      ['declined', false],
    ] as const) {
      const [stuck] = setStuck(NEW_LIFE, why, 0)
      const [life, ended] = setEnded(setEndingForClient(stuck, 0), 99_000)
      expect(ended).to.deep.equal({ why, restart: 'at-once' })
      expect(life).to.include({ isToForget, ending: undefined })
      expect(setForgotten(life).isToForget).to.equal(false)
    }
  })

  it('forgets for any client that was refused, whatever the next declines', () => {
    const [refused] = setStuck(NEW_LIFE, 'given-away', 0)
    expect(setStuck(refused, 'declined', 0)[0].isToForget).to.equal(true)
  })

  it('starts later with each end, unless it ran for long', () => {
    expect(setEnded(NEW_LIFE, 100)[1]).to.deep.equal({ why: 'by-itself', restart: 'backing-off' })
    expect(setEnded(NEW_LIFE, 31_000)[1]).to.deep.equal({ why: 'by-itself', restart: 'afresh' })
  })

  it('waits for its sandbox, unless it ends for its client anyhow', () => {
    expect(setEnded(setSandboxAway(NEW_LIFE), 100)[1]).to.deep.equal({
      why: 'sandbox-away',
      restart: 'backing-off',
    })
    const [, both] = setEnded(setSandboxAway(setEndingForClient(NEW_LIFE, 0)), 100)
    expect(both.restart).to.equal('at-once')
  })
})
