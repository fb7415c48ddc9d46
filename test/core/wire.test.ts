import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { CniError } from '../../core/errors.ts'
import {
  claimEnd,
  clearDisplaced,
  closeTunnel,
  ENDS_PER_WIRE,
  findDisplaced,
  findFarEnd,
  forgetNode,
  holdsEnd,
  listNodes,
  mayOpenTunnel,
  openTunnel,
  releaseEnd,
  restoreEnd,
  changeEnd,
  setUnplugged,
  type EndClaim,
  type Wire,
} from '../../core/wire.ts'

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
    expect(findDisplaced(wire, newer)).to.deep.equal([newClaim('vm/r1', 'c1')])
    expect(claimEnd(wire, ID, newer).ends).to.deep.equal([newClaim('pod/h1', 'c2'), newer])
    expect(findDisplaced(wire, newClaim('pod/h2', 'c9'))).to.deep.equal([])
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
    const wire = claimEnd(one, ID, newClaim('vm/r1', 'c9'))
    expect(releaseEnd(wire, newClaim('vm/r1', 'c1'))).to.equal(wire)
    expect(holdsEnd(wire, newClaim('vm/r1', 'c1'))).to.equal(false)
    expect(holdsEnd(wire, newClaim('vm/r1', 'c9'))).to.equal(true)
  })
})

describe('restoreEnd()', () => {
  const old = newClaim('vm/r1', 'c1')
  const far = newClaim('pod/h1', 'c2')
  it('puts an earlier claim back where its end is free', () => {
    const wire = claimEnd(undefined, ID, far)
    expect(restoreEnd(wire, ID, old)?.ends).to.deep.equal([far, old])
    expect(restoreEnd(undefined, ID, old)?.ends).to.deep.equal([old])
  })
  it('leaves a wire alone whose ends are held again', () => {
    const wire = claimEnd(claimEnd(undefined, ID, far), ID, newClaim('vm/r1', 'c9'))
    expect(restoreEnd(wire, ID, old)).to.equal(wire)
    const full = claimEnd(claimEnd(undefined, ID, far), ID, newClaim('vm/r7', 'c7'))
    expect(restoreEnd(full, ID, old)).to.equal(full)
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

describe('a sandbox that lost its end to another node', () => {
  const [old, far] = [newClaim('vm/r1', 'c1'), { ...newClaim('pod/h1', 'c2'), node: 'n2' }]
  const newer = { ...newClaim('vm/r1', 'c3'), node: 'n2' }
  const moved = claimEnd(claimEnd(claimEnd(undefined, ID, old), ID, far), ID, newer)
  const note = { containerID: 'c1', ifname: 'eth1', node: 'n1' }

  it('is noted until its node takes the note out', () => {
    expect(moved.displaced).to.deep.equal([note])
    expect(listNodes(moved)).to.deep.equal(['n1', 'n2'])
    expect(releaseEnd(moved, old)).to.deep.include({ displaced: [], ends: [far, newer] })
  })

  it('is noted while nobody holds an end any more', () => {
    const left = releaseEnd(releaseEnd(moved, far), newer)
    expect(left).to.deep.include({ ends: [], displaced: [note] })
    expect(releaseEnd(left, old)).to.equal(undefined)
  })

  it('needs no note on the node that took it', () => {
    const same = claimEnd(claimEnd(undefined, ID, old), ID, newClaim('vm/r1', 'c3'))
    expect(same.displaced).to.deep.equal([])
  })

  it('is no longer noted when it has the end again', () => {
    expect(restoreEnd(releaseEnd(moved, newer), ID, old)).to.deep.include({ displaced: [] })
    expect(claimEnd(moved, ID, old).displaced).to.deep.equal([
      { containerID: 'c3', ifname: 'eth1', node: 'n2' },
    ])
  })

  it('goes with a node that is no more, and so does all else of it', () => {
    expect(forgetNode(openTunnel(moved, 'n1', 7), 'n1')).to.deep.include({
      displaced: [],
      tunnelNodes: [],
      vni: undefined,
    })
    expect(forgetNode(forgetNode(moved, 'n2'), 'n1')).to.equal(undefined)
    expect(forgetNode(moved, 'n9')).to.equal(moved)
  })
})

describe('clearDisplaced()', () => {
  const old = newClaim('vm/r1', 'c1')
  const newer = { ...newClaim('vm/r1', 'c2'), node: 'n2' }
  const moved = claimEnd(claimEnd(undefined, ID, old), ID, newer)

  it('takes the note out, and nothing else', () => {
    expect(clearDisplaced(moved, old)).to.deep.include({ displaced: [], ends: [newer] })
    expect(clearDisplaced(releaseEnd(moved, newer), old)).to.equal(undefined)
  })

  it('leaves an end alone that was given back meanwhile', () => {
    const restored = restoreEnd(releaseEnd(moved, newer), ID, old)
    expect(clearDisplaced(restored, old)).to.equal(restored)
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
    isClaim: fc.boolean(),
    holder: fc.constantFrom('vm/a', 'vm/b', 'pod/c'),
    containerID: fc.constantFrom('c1', 'c2', 'c3', 'c4'),
    ifname: fc.constantFrom('eth1', 'eth2'),
  })

  it('has at most two ends, each held once, and is gone without any', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        let wire: Wire | undefined
        for (const { isClaim, ...claim } of operations) {
          try {
            wire = isClaim ? claimEnd(wire, ID, { ...claim, ...NODE }) : releaseEnd(wire, claim)
          } catch (error) {
            if (!(error instanceof CniError)) throw error
          }
          if (wire === undefined) continue
          const ends = wire.ends.map((end) => `${end.holder} ${end.ifname}`)
          expect(ends.length).to.be.within(1, ENDS_PER_WIRE)
          expect(new Set(ends).size).to.equal(ends.length)
        }
      }),
    )
  })
})
