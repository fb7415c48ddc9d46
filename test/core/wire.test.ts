import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { CniError } from '../../core/errors.ts'
import {
  claimEnd,
  ENDS_PER_WIRE,
  findDisplaced,
  holdsEnd,
  releaseEnd,
  restoreEnd,
  type EndClaim,
  type Wire,
} from '../../core/wire.ts'

const ID = { namespace: 'lab', name: 'r1-r2' }

function newClaim(holder: string, containerID: string, ifname = 'eth1'): EndClaim {
  return { holder, containerID, ifname, node: 'n1' }
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
            wire = isClaim ? claimEnd(wire, ID, { ...claim, node: 'n1' }) : releaseEnd(wire, claim)
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
