import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { VniClaim } from '../../../core/wire/vni.ts'
import { findOrphanVnis, findUnclaimedVnis } from '../../../core/wire/vni-orphans.ts'
import type { Wire, WireId } from '../../../core/wire/wire.ts'

type NotedWire = WireId & Pick<Wire, 'vni'>

const NOW = 1_000_000
const w = { namespace: 'lab', name: 'w' }
const v = { namespace: 'lab', name: 'v' }

function newClaim(vni: number, wire = w, ageMs = 61_000): VniClaim {
  return { vni, wire, sinceMs: NOW - ageMs }
}

describe('findOrphanVnis()', () => {
  const rows: readonly { name: string; claims: VniClaim[]; wires: NotedWire[]; want: number[] }[] =
    [
      {
        name: 'none of the wire that notes it',
        claims: [newClaim(7)],
        wires: [{ ...w, vni: 7 }],
        want: [],
      },
      { name: 'one whose wire is gone', claims: [newClaim(7)], wires: [], want: [7] },
      {
        name: 'one whose wire has none',
        claims: [newClaim(7)],
        wires: [{ ...w, vni: undefined }],
        want: [7],
      },
      {
        name: 'the second one of a wire',
        claims: [newClaim(7), newClaim(8)],
        wires: [{ ...w, vni: 8 }],
        want: [7],
      },
      {
        name: 'one whose VNI another wire uses without a claim',
        claims: [newClaim(7)],
        wires: [{ ...v, vni: 7 }],
        want: [7],
      },
      {
        name: 'none that its wire may be about to note',
        claims: [newClaim(7, w, 60_000)],
        wires: [],
        want: [],
      },
      { name: 'none of the future', claims: [newClaim(7, w, -5000)], wires: [], want: [] },
      {
        name: 'one of the same name in another namespace',
        claims: [newClaim(7)],
        wires: [{ namespace: 'lab2', name: 'w', vni: 7 }],
        want: [7],
      },
    ]
  for (const { name, claims, wires, want } of rows)
    it(`finds ${name}`, () => {
      expect(findOrphanVnis(claims, wires, NOW).map(({ vni }) => vni)).to.deep.equal(want)
    })
})

describe('findUnclaimedVnis()', () => {
  const rows: readonly { name: string; claims: VniClaim[]; wires: NotedWire[]; want: string[] }[] =
    [
      { name: 'none that is claimed', claims: [newClaim(7)], wires: [{ ...w, vni: 7 }], want: [] },
      { name: 'one without a claim', claims: [], wires: [{ ...w, vni: 7 }], want: ['w'] },
      {
        name: 'one that another wire claimed',
        claims: [newClaim(7, v)],
        wires: [{ ...w, vni: 7 }],
        want: ['w'],
      },
      { name: 'no wire without a VNI', claims: [], wires: [{ ...w, vni: undefined }], want: [] },
    ]
  for (const { name, claims, wires, want } of rows)
    it(`finds ${name}`, () => {
      expect(findUnclaimedVnis(claims, wires).map((wire) => wire.name)).to.deep.equal(want)
    })
})
