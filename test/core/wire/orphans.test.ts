import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toHostEndName, toTunnelDeviceName } from '../../../core/name.ts'
import type { NodeObservation } from '../../../core/observe/node.ts'
import { findOldOrphans, findOrphans, NO_ORPHANS, planOrphans } from '../../../core/wire/orphans.ts'
import { claimEnd } from '../../../core/wire/ends.ts'
import { toWireKey, type EndClaim, type Wire, type WireId } from '../../../core/wire/wire.ts'
import { newObservation } from '../samples.ts'

const ID = { namespace: 'lab', name: 'w' }
const [H1, H2] = ['c1', 'c2'].map((id) => toHostEndName(id, 'eth1')) as [string, string]

function newClaim(containerID: string, node: string): EndClaim {
  const holder = `pod/${containerID}`
  const rest = { address: '192.0.2.1', mtuBytes: 1500, pod: undefined, isUp: true }
  return { holder, containerID, ifname: 'eth1', node, ...rest }
}

function see(names: readonly string[], peers: readonly string[] = []): NodeObservation {
  const vxlan = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14789 }
  const alias = 'l2wire lab/w pod/h1 eth1'
  const links = names.map((name) =>
    name.startsWith('lx') ? { name, alias, kind: 'vxlan', vxlan } : { name, alias },
  )
  return {
    ...newObservation(links),
    peers: new Set(peers),
    hasTable: true,
    checksPath: true,
    hops: new Set(),
  }
}

function find(
  seen: NodeObservation,
  wires: readonly Wire[] = [],
  claimed: readonly WireId[] = [],
): ReturnType<typeof findOrphans> {
  return findOrphans({ seen, attachments: [], wires, claimed, node: 'n1' })
}

describe('findOrphans()', () => {
  it('finds host ends without a document, unless the wire knows of them', () => {
    const wire = claimEnd(undefined, ID, newClaim('c1', 'n1'))
    expect(find(see([H1, H2]), [wire]).hostEnds).to.deep.equal([H2])
    const elsewhere = claimEnd(undefined, ID, newClaim('c1', 'n2'))
    expect(find(see([H1]), [elsewhere]).hostEnds).to.deep.equal([H1])
  })

  for (const id of [ID, { namespace: 'n'.repeat(63), name: 'w'.repeat(128) }])
    it(`finds tunnels that were made for no wire, ${toWireKey(id).length} characters`, () => {
      const name = toTunnelDeviceName(toWireKey(id))
      const seen = see([name])
      expect(find(seen).tunnels).to.deep.equal([name])
      expect(find(seen, [claimEnd(undefined, id, newClaim('c1', 'n2'))]).tunnels).to.deep.equal([])
      expect(find(seen, [], [id]).tunnels).to.deep.equal([])
      expect(find(seen, [], [{ ...id, name: 'x' }]).tunnels).to.deep.equal([name])
    })

  it('finds permissions without a tunnel', () => {
    const seen = see(['lx0000000000001'], ['192.0.2.2 7', '192.0.2.2 8'])
    expect(find(seen).peers).to.deep.equal(['192.0.2.2 8'])
  })
})

describe('orphans', () => {
  it('are taken away once they were seen twice', () => {
    const first = { hostEnds: [H1], tunnels: ['lx1'], peers: ['192.0.2.2 8'] }
    const second = { hostEnds: [H1, H2], tunnels: ['lx1', 'lx2'], peers: [] }
    expect(planOrphans(findOldOrphans(first, NO_ORPHANS))).to.deep.equal([])
    expect(planOrphans(findOldOrphans(second, first))).to.deep.equal([
      { op: 'del-link', netns: undefined, dev: H1 },
      { op: 'del-link', netns: undefined, dev: 'lx1' },
    ])
    expect(planOrphans(findOldOrphans(first, first)).at(-1)).to.deep.equal({
      op: 'forbid-peer',
      netns: undefined,
      address: '192.0.2.2',
      vni: 8,
    })
  })
})
