import { expect } from 'chai'
import { describe, it } from 'mocha'

import { claimEnd, releaseEnd, standBy } from '../../../core/wire/ends.ts'
import { findFarGuest, keepHeard, supposeMoved } from '../../../core/wire/suppose.ts'
import type { EndClaim, Wire } from '../../../core/wire/wire.ts'

const ID = { namespace: 'lab', name: 'w' }

function newClaim(containerID: string, holder: string, node: string): EndClaim {
  const rest = { mtuBytes: 1500, pod: undefined, isUp: true }
  const address = `192.0.2.${node.slice(1)}`
  return { holder, containerID, ifname: 'eth1', node, address, ...rest }
}

const SOURCE = newClaim('a', 'vm/r1', 'n1')
const TARGET = newClaim('b', 'vm/r1', 'n2')
const FAR = newClaim('c', 'pod/h1', 'n3')

function newWire(far = FAR, target = TARGET): Wire {
  const both = claimEnd(claimEnd(undefined, ID, SOURCE), ID, far)
  return { ...standBy(both, ID, target), vni: 7, tunnelNodes: ['n1', 'n2', 'n3'] }
}

describe('supposeMoved()', () => {
  it('is the wire that the store will have once the claim of the target is written', () => {
    const wire = newWire()
    expect(supposeMoved(wire, new Set(['b@eth1']))).to.deep.equal(claimEnd(wire, ID, TARGET))
  })

  it('is the wire itself as long as nobody was heard, and once the store says so', () => {
    const wire = newWire()
    const moved = claimEnd(wire, ID, TARGET)
    const heard = new Set(['b@eth1'])
    expect(supposeMoved(wire, new Set())).to.equal(wire)
    expect(supposeMoved(wire, new Set(['a@eth1', 'c@eth1', 'x@eth1']))).to.equal(wire)
    expect(supposeMoved(moved, heard)).to.equal(moved)
  })

  it('does not give an end to an older sandbox that stands by', () => {
    const moved = claimEnd(newWire(), ID, TARGET)
    expect(supposeMoved(moved, new Set(['a@eth1']))).to.equal(moved)
  })
})

describe('keepHeard()', () => {
  const heard = new Set(['b@eth1'])

  it('keeps who stands by', () => {
    expect(keepHeard(newWire(), heard)).to.deep.equal(heard)
  })

  const over: readonly (readonly [string, Wire | undefined])[] = [
    ['its claim is written', claimEnd(newWire(), ID, TARGET)],
    ['it is cancelled', releaseEnd(newWire(), TARGET)],
    ['the wire is gone', undefined],
  ]
  for (const [what, wire] of over)
    it(`forgets it once ${what}`, () => {
      expect(keepHeard(wire, heard)).to.deep.equal(new Set())
    })
})

describe('findFarGuest()', () => {
  const guest = { containerID: 'b', ifname: 'eth1', address: '192.0.2.2', vni: 7 }

  it('is the guest that the end here is to be joined to, wherever the source is', () => {
    expect(findFarGuest(newWire(), 'n3', [FAR])).to.deep.equal(guest)
    const beside = { ...FAR, node: 'n1', address: '192.0.2.1' }
    expect(findFarGuest(newWire(beside), 'n1', [SOURCE, beside])).to.deep.equal(guest)
  })

  const nobody: readonly (readonly [string, Wire | undefined, string, readonly EndClaim[]])[] = [
    ['no end here is to be joined to it', newWire(), 'n1', [SOURCE]],
    ['the end here has no devices', newWire(), 'n3', []],
    ['the target is here', newWire(), 'n2', [TARGET]],
    ['nobody migrates', claimEnd(newWire(), ID, TARGET), 'n3', [FAR]],
    ['there is no wire', undefined, 'n3', []],
    ['there is no tunnel yet', { ...newWire(), vni: undefined }, 'n3', [FAR]],
    ['the cable is out', { ...newWire(), isUnplugged: true }, 'n3', [FAR]],
    [
      "the source's frames come from the same node",
      newWire(FAR, { ...TARGET, node: 'n1', address: '192.0.2.1' }),
      'n3',
      [FAR],
    ],
  ]
  for (const [what, wire, node, plugged] of nobody)
    it(`is nobody where ${what}`, () => {
      expect(findFarGuest(wire, node, plugged)).to.equal(undefined)
    })
})
