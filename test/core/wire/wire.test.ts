import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { CniError } from '../../../core/errors.ts'
import {
  claimEnd,
  clearDisplaced,
  evictEnd,
  holdsEnd,
  isTarget,
  releaseEnd,
  changeEnd,
  standBy,
} from '../../../core/wire/ends.ts'
import {
  ENDS_PER_WIRE,
  closeTunnel,
  findFarEnd,
  forgetNode,
  listNodes,
  mayOpenTunnel,
  openTunnel,
  setUnplugged,
  type EndClaim,
  type Wire,
} from '../../../core/wire/wire.ts'

const ID = { namespace: 'lab', name: 'r1-r2' }

const NODE = { node: 'n1', address: '192.0.2.1', mtuBytes: 1500, pod: undefined, isUp: true }

function newClaim(holder: string, containerID: string, ifname = 'eth1'): EndClaim {
  return { holder, containerID, ifname, ...NODE }
}

describe('claimEnd()', () => {
  it('plugs two ends in, in either order', () => {
    const [a, b] = [newClaim('vm/r1', 'c1'), newClaim('pod/h1', 'c2')]
    expect(claimEnd(claimEnd(undefined, ID, a), ID, b).ends).to.deep.equal([a, b])
    expect(claimEnd(claimEnd(undefined, ID, b), ID, a).ends).to.deep.equal([b, a])
  })

  it('refuses a third end and names both holders', () => {
    const wire = claimEnd(
      claimEnd(undefined, ID, newClaim('vm/r1', 'c1')),
      ID,
      newClaim('pod/h1', 'c2'),
    )
    expect(() => claimEnd(wire, ID, newClaim('pod/h2', 'c3')))
      .to.throw(CniError, 'by vm/r1 eth1 and pod/h1 eth1')
      .with.property('code', 101)
  })

  it('lets a newer sandbox take over its own end', () => {
    const wire = claimEnd(
      claimEnd(undefined, ID, newClaim('vm/r1', 'c1')),
      ID,
      newClaim('pod/h1', 'c2'),
    )
    const newer = newClaim('vm/r1', 'c9')
    const taken = claimEnd(wire, ID, newer)
    expect(taken.ends).to.deep.equal([newClaim('pod/h1', 'c2'), newer])
    expect(taken.standbys).to.deep.equal([{ ...newClaim('vm/r1', 'c1'), isTarget: false }])
    expect(claimEnd(taken, ID, newer)).to.deep.equal(taken)
  })

  it('lets one holder own both ends by two NICs', () => {
    const wire = claimEnd(
      claimEnd(undefined, ID, newClaim('vm/r1', 'c1', 'a')),
      ID,
      newClaim('vm/r1', 'c1', 'b'),
    )
    expect(wire.ends).to.have.length(2)
  })
})

describe('releaseEnd()', () => {
  const one = claimEnd(undefined, ID, newClaim('vm/r1', 'c1'))
  const rows: readonly {
    name: string
    wire: Wire | undefined
    id: string
    want: Wire | undefined
  }[] = [
    { name: 'forgets a wire without ends', wire: one, id: 'c1', want: undefined },
    { name: 'changes nothing for an unknown attachment', wire: one, id: 'c7', want: one },
    { name: 'changes nothing for an unknown wire', wire: undefined, id: 'c1', want: undefined },
  ]
  for (const { name, wire, id, want } of rows)
    it(name, () => {
      expect(releaseEnd(wire, { containerID: id, ifname: 'eth1' })).to.equal(want)
    })

  it('a late release of an older sandbox leaves the newer one alone', () => {
    const taken = claimEnd(one, ID, newClaim('vm/r1', 'c9'))
    const wire = releaseEnd(taken, newClaim('vm/r1', 'c1'))
    expect(wire).to.deep.equal({ ...taken, standbys: [] })
    expect(holdsEnd(wire, newClaim('vm/r1', 'c1'))).to.equal(false)
    expect(holdsEnd(wire, newClaim('vm/r1', 'c9'))).to.equal(true)
  })
})

describe("a migration's target", () => {
  const [source, far] = [newClaim('vm/r1', 'c1'), { ...newClaim('pod/h1', 'c2'), node: 'n2' }]
  const target = { ...newClaim('vm/r1', 'c3'), node: 'n3' }
  const wire = claimEnd(claimEnd(undefined, ID, source), ID, far)
  const awaiting = standBy(wire, ID, target)

  it('takes nothing from who has the end', () => {
    expect(awaiting).to.deep.equal({ ...wire, standbys: [{ ...target, isTarget: true }] })
    expect(listNodes(awaiting)).to.deep.equal(['n1', 'n2', 'n3'])
    expect(isTarget(awaiting, target)).to.equal(true)
    expect(standBy(awaiting, ID, target)).to.deep.equal(awaiting)
  })

  it('leaves no trace when it goes', () => {
    expect(releaseEnd(awaiting, target)).to.deep.equal(wire)
    expect(forgetNode(awaiting, 'n3')).to.deep.equal(wire)
  })

  it('has the end once its guest has come, and the source stands by', () => {
    const moved = claimEnd(awaiting, ID, target)
    expect(moved.ends).to.deep.equal([far, target])
    expect(moved.standbys).to.deep.equal([{ ...source, isTarget: false }])
    expect(isTarget(moved, target)).to.equal(false)
    const back = claimEnd(releaseEnd(moved, target), ID, source)
    expect(back).to.deep.include({ ends: [far, source], standbys: [] })
  })

  it('waits for an end that nobody has, which is kept for it', () => {
    const kept = standBy(claimEnd(undefined, ID, far), ID, target)
    expect(kept.ends).to.deep.equal([far])
    expect(() => claimEnd(kept, ID, newClaim('pod/h7', 'c7')))
      .to.throw(CniError, 'by pod/h1 eth1 and vm/r1 eth1')
      .with.property('code', 101)
    expect(claimEnd(kept, ID, target).ends).to.deep.equal([far, target])
    expect(claimEnd(kept, ID, source).ends).to.deep.equal([far, source])
  })

  it('shares its end with another target of the same VM', () => {
    const kept = standBy(claimEnd(undefined, ID, far), ID, target)
    const again = releaseEnd(standBy(kept, ID, { ...target, containerID: 'c4' }), far)
    expect(claimEnd(again, ID, newClaim('pod/h7', 'c7')).ends).to.have.length(1)
  })

  it('is refused by a wire of two others', () => {
    expect(() => standBy(wire, ID, newClaim('vm/r9', 'c9'))).to.throw(CniError, 'both ends')
  })
})

describe('tunnels of a wire', () => {
  const near = newClaim('vm/r1', 'c1')
  const far = { ...newClaim('pod/h1', 'c2'), node: 'n2', address: '192.0.2.2' }
  const across = claimEnd(claimEnd(undefined, ID, near), ID, far)

  it('lead to the far end, where this node has the other one', () => {
    expect(findFarEnd(across, 'n1')).to.deep.equal(far)
    expect(findFarEnd(across, 'n2')).to.deep.equal(near)
    expect(findFarEnd(across, 'n3')).to.equal(undefined)
    expect(findFarEnd(claimEnd(undefined, ID, near), 'n1')).to.equal(undefined)
    expect(findFarEnd(undefined, 'n1')).to.equal(undefined)
  })

  it('are opened first by the node of the newest end, which claims the VNI', () => {
    expect([mayOpenTunnel(across, 'n1'), mayOpenTunnel(across, 'n2')]).to.deep.equal([false, true])
    const open = openTunnel(across, 'n2', 7)
    expect([mayOpenTunnel(open, 'n1'), mayOpenTunnel(open, 'n2')]).to.deep.equal([true, true])
    expect(mayOpenTunnel(undefined, 'n1')).to.equal(false)
  })

  it('keep the first VNI, and the wire until the last tunnel is closed', () => {
    const open = openTunnel(openTunnel(openTunnel(across, 'n1', 7), 'n2', 8), 'n1', 9)
    expect(open)
      .to.include({ vni: 7 })
      .and.deep.include({ tunnelNodes: ['n1', 'n2'] })
    const released = releaseEnd(releaseEnd(open, near), far)
    expect(released?.ends).to.deep.equal([])
    const half = closeTunnel(released, 'n1')
    expect(half).to.include({ vni: 7 })
    expect(closeTunnel(half, 'n2')).to.equal(undefined)
    expect(closeTunnel(closeTunnel(open, 'n1'), 'n2')).to.include({ vni: undefined })
  })

  it('of nobody need no closing', () => {
    expect(closeTunnel(across, 'n1')).to.equal(across)
    expect(closeTunnel(undefined, 'n1')).to.equal(undefined)
    expect(openTunnel(undefined, 'n1', 7)).to.equal(undefined)
  })
})

describe('a sandbox that lost its end to a newer one', () => {
  const [old, far] = [newClaim('vm/r1', 'c1'), { ...newClaim('pod/h1', 'c2'), node: 'n2' }]
  const newer = { ...newClaim('vm/r1', 'c3'), node: 'n2' }
  const moved = claimEnd(claimEnd(claimEnd(undefined, ID, old), ID, far), ID, newer)
  const standby = { ...old, isTarget: false }

  it('stands by until it goes, whoever else goes before', () => {
    expect(moved.standbys).to.deep.equal([standby])
    expect(listNodes(moved)).to.deep.equal(['n1', 'n2'])
    expect(releaseEnd(moved, old)).to.deep.include({ standbys: [], ends: [far, newer] })
    const left = releaseEnd(releaseEnd(moved, far), newer)
    expect(left).to.deep.include({ ends: [], standbys: [standby] })
    expect(releaseEnd(left, old)).to.equal(undefined)
  })

  it('changes places with the newer one when it has the end again', () => {
    const again = claimEnd(moved, ID, old)
    expect(again.ends).to.deep.equal([far, old])
    expect(again.standbys).to.deep.equal([{ ...newer, isTarget: false }])
  })

  it('goes with a node that is no more, and so does all else of it', () => {
    expect(forgetNode(openTunnel(moved, 'n1', 7), 'n1')).to.deep.include({
      standbys: [],
      tunnelNodes: [],
      vni: undefined,
    })
    expect(forgetNode(forgetNode(moved, 'n2'), 'n1')).to.equal(undefined)
    expect(forgetNode(moved, 'n9')).to.equal(moved)
  })
})

describe('a sandbox whose end somebody freed', () => {
  const old = newClaim('vm/r1', 'c1')
  const far = { ...newClaim('pod/h1', 'c2'), node: 'n2' }
  const freed = evictEnd(claimEnd(claimEnd(undefined, ID, old), ID, far), old, 'n2')

  it('is noted until its node takes the note out', () => {
    const note = { containerID: 'c1', ifname: 'eth1', node: 'n1' }
    expect(freed).to.deep.include({ ends: [far], displaced: [note] })
    expect(clearDisplaced(freed, old)).to.deep.include({ ends: [far], displaced: [] })
    expect(clearDisplaced(releaseEnd(freed, far), old)).to.equal(undefined)
  })

  it('leaves no note on the node that freed it, whether it had an end or waited for one', () => {
    const own = claimEnd(undefined, ID, old)
    expect(evictEnd(own, old, 'n1')).to.equal(undefined)
    expect(evictEnd(standBy(undefined, ID, old), old, 'n1')).to.equal(undefined)
    const waiting = standBy(undefined, ID, far)
    expect(evictEnd(waiting, far, 'n1')).to.equal(waiting)
  })

  it('is no longer noted when it has the end again', () => {
    const again = claimEnd(freed, ID, old)
    expect(again).to.deep.include({ ends: [far, old], displaced: [] })
    expect(clearDisplaced(again, old)).to.equal(again)
  })
})

describe('setUnplugged()', () => {
  const one = claimEnd(undefined, ID, newClaim('vm/r1', 'c1'))

  it('outlives the ends, and goes with the last of them once it is plugged in', () => {
    const out = setUnplugged(one, ID, true)
    const empty = releaseEnd(out, newClaim('vm/r1', 'c1'))
    expect(empty).to.deep.include({ isUnplugged: true, ends: [] })
    expect(setUnplugged(empty, ID, false)).to.equal(undefined)
    expect(setUnplugged(out, ID, false)).to.deep.equal(one)
  })

  it('makes the wire that is to be out, and changes nothing twice', () => {
    const out = setUnplugged(undefined, ID, true)
    expect(out).to.deep.include({ ...ID, isUnplugged: true })
    expect(setUnplugged(out, ID, true)).to.equal(out)
    expect(setUnplugged(undefined, ID, false)).to.equal(undefined)
  })
})

describe('changeEnd()', () => {
  const one = claimEnd(undefined, ID, newClaim('vm/r1', 'c1'))

  it('notes the address that its node has now', () => {
    const moved = changeEnd(one, newClaim('vm/r1', 'c1'), { address: '192.0.2.9' })
    expect(moved?.ends[0]).to.include({ address: '192.0.2.9', isUp: true })
    expect(changeEnd(moved, newClaim('vm/r1', 'c1'), { address: '192.0.2.9' })).to.equal(moved)
  })

  it('notes what the owner did, once', () => {
    const down = changeEnd(one, newClaim('vm/r1', 'c1'), { isUp: false })
    expect(down?.ends[0]?.isUp).to.equal(false)
    expect(changeEnd(down, newClaim('vm/r1', 'c1'), { isUp: false })).to.equal(down)
    expect(changeEnd(one, newClaim('vm/r1', 'c9'), { isUp: false })).to.equal(one)
  })
})

describe('a wire, after any sequence of claims and releases', () => {
  const operation = fc.record({
    deed: fc.constantFrom('claim', 'stand by', 'release'),
    holder: fc.constantFrom('vm/a', 'vm/b', 'pod/c'),
    containerID: fc.constantFrom('c1', 'c2', 'c3', 'c4'),
    ifname: fc.constantFrom('eth1', 'eth2'),
  })

  it('has at most two ends, each held once, and is gone without any', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        let wire: Wire | undefined
        for (const { deed, ...own } of operations) {
          // A sandbox is one holder's.
          const containerID = `${own.holder.at(-1)}${own.containerID}`
          const claim = { ...own, containerID, ...NODE }
          try {
            if (deed === 'release') wire = releaseEnd(wire, claim)
            else wire = (deed === 'claim' ? claimEnd : standBy)(wire, ID, claim)
          } catch (error) {
            if (!(error instanceof CniError)) throw error
          }
          if (wire === undefined) continue
          const ends = wire.ends.map((end) => `${end.holder} ${end.ifname}`)
          expect(ends.length).to.be.within(0, ENDS_PER_WIRE)
          expect(new Set(ends).size).to.equal(ends.length)
          expect(ends.length + wire.standbys.length).to.be.above(0)
          for (const standby of wire.standbys) expect(holdsEnd(wire, standby)).to.equal(false)
        }
      }),
    )
  })
})
