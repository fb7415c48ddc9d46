import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toHostDeviceName } from '../../core/name.ts'
import type { NodeLink, NodeObservation } from '../../core/node-observation.ts'
import { findOldStrays, findStrays, NO_STRAYS, planStrays } from '../../core/strays.ts'
import { claimEnd, type EndClaim, type Wire } from '../../core/wire.ts'

const ID = { namespace: 'lab', name: 'w' }
const LINK: NodeLink = {
  ifindex: 1,
  isUp: true,
  hasCarrier: true,
  mtuBytes: 9216,
  alias: 'l2wire lab/w pod/h1 eth1',
  kind: 'host-end',
  redirects: [],
  vxlan: null,
}
const [H1, H2] = ['c1', 'c2'].map((id) => toHostDeviceName(id, 'eth1')) as [string, string]

function newClaim(containerID: string, node: string): EndClaim {
  const holder = `pod/${containerID}`
  const rest = { address: '192.0.2.1', mtuBytes: 1500, pod: undefined, isUp: true }
  return { holder, containerID, ifname: 'eth1', node, ...rest }
}

function see(names: readonly string[], peers: readonly string[] = []): NodeObservation {
  const vxlan = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14789 }
  const tunnel: NodeLink = { ...LINK, kind: 'tunnel', vxlan }
  const links = names.map((name) => [name, name.startsWith('lx') ? tunnel : LINK] as const)
  return { links: new Map(links), peers: new Set(peers), hasTable: true }
}

function find(seen: NodeObservation, wires: readonly Wire[] = []): ReturnType<typeof findStrays> {
  return findStrays({ seen, attachments: [], wires, node: 'n1' })
}

describe('findStrays()', () => {
  it('finds host ends without a document, unless the wire knows of them', () => {
    const wire = claimEnd(undefined, ID, newClaim('c1', 'n1'))
    expect(find(see([H1, H2]), [wire]).hostEnds).to.deep.equal([H2])
    const elsewhere = claimEnd(undefined, ID, newClaim('c1', 'n2'))
    expect(find(see([H1]), [elsewhere]).hostEnds).to.deep.equal([H1])
  })

  it('finds permissions without a tunnel', () => {
    const seen = see(['lx1'], ['192.0.2.2 7', '192.0.2.2 8'])
    expect(find(seen).peers).to.deep.equal(['192.0.2.2 8'])
  })
})

describe('strays', () => {
  it('are taken away once they were seen twice', () => {
    const first = { hostEnds: [H1], peers: ['192.0.2.2 8'] }
    const second = { hostEnds: [H1, H2], peers: [] }
    expect(planStrays(findOldStrays(first, NO_STRAYS))).to.deep.equal([])
    expect(planStrays(findOldStrays(second, first))).to.deep.equal([
      { op: 'del-link', netns: undefined, dev: H1 },
    ])
    expect(planStrays(findOldStrays(first, first)).at(-1)).to.deep.equal({
      op: 'forbid-peer',
      netns: undefined,
      address: '192.0.2.2',
      vni: 8,
    })
  })
})
