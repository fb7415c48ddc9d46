import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { WireAttachment } from '../../../core/attach/attachment.ts'
import { toTunnelDeviceName } from '../../../core/name.ts'
import { toAlias } from '../../../core/wire/plan.ts'
import { listEndKeys } from '../../../core/wire/summary.ts'
import { isSettled, toWireGoal, type SettledFacts } from '../../../core/wire/goal.ts'
import { claimEnd } from '../../../core/wire/ends.ts'
import type { EndClaim, NodeReport, Wire } from '../../../core/wire/wire.ts'
import { toWirePart } from '../../../core/wire/part.ts'
import { newObservation, newWireAttachment, type SampleLink } from '../samples.ts'

const ID = { namespace: 'lab', name: 'w' }
const TUNNEL = toTunnelDeviceName('lab/w')

function newClaim(containerID: string, node: string): EndClaim {
  const rest = { mtuBytes: 1500, pod: undefined, isUp: true }
  const address = `192.0.2.${node.slice(1)}`
  return { holder: `pod/${containerID}`, containerID, ifname: 'eth1', node, address, ...rest }
}

const [A, B] = [newWireAttachment('a'), newWireAttachment('b')]

function newWire(claims: readonly EndClaim[], state: NodeReport['state'], more = {}): Wire {
  const wire = claims.reduce<Wire | undefined>((so, one) => claimEnd(so, ID, one), undefined)
  if (wire === undefined) throw new Error('No claims, no wire')
  return { ...wire, reports: [{ node: 'n1', state, ends: listEndKeys(wire) }], ...more }
}

function see(end: WireAttachment, target: string | undefined): SampleLink {
  const isUp = target !== undefined
  const targets = isUp ? [target] : []
  return { name: end.hostDevice, isUp, hasCarrier: isUp, alias: toAlias(end), targets }
}

const SEEN_TUNNEL: SampleLink = {
  name: TUNNEL,
  alias: 'l2wire lab/w vni 7 port 14789 local 192.0.2.1 remote 192.0.2.2',
  kind: 'vxlan',
  vxlan: { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 },
  targets: [A.hostDevice],
}

/** What a row says of a node's kernel. */
interface Facts extends Omit<SettledFacts, 'observed'> {
  readonly seen: readonly SampleLink[]
  readonly peers: readonly string[]
}

function settles({ seen, peers, ...facts }: Facts): boolean {
  const table = { hasTable: true, checksPath: true, hops: new Set<string>() }
  const observed = { ...newObservation(seen), ...table, peers: new Set(peers) }
  return isSettled({ ...facts, observed })
}

const BASE = {
  id: ID,
  node: 'n1',
  underlay: { address: '192.0.2.1', port: 14_789 },
  classifier: 'bpf',
} as const

const HERE: Facts = {
  ...BASE,
  wire: newWire([newClaim('a', 'n1'), newClaim('b', 'n1')], 'joined'),
  attachments: [A, B],
  seen: [see(A, B.hostDevice), see(B, A.hostDevice)],
  peers: [],
}

const ACROSS: Facts = {
  ...BASE,
  wire: newWire([newClaim('a', 'n1'), newClaim('c', 'n2')], 'joined', {
    vni: 7,
    tunnelNodes: ['n1', 'n2'],
  }),
  attachments: [A],
  seen: [see(A, TUNNEL), SEEN_TUNNEL],
  peers: ['192.0.2.2 7'],
}

const ALONE: Facts = {
  ...BASE,
  wire: newWire([newClaim('a', 'n1')], 'waiting'),
  attachments: [A],
  seen: [see(A, undefined)],
  peers: [],
}

const changeWire = (facts: Facts, more: Partial<Wire>): Facts => ({
  ...facts,
  wire: { ...(facts.wire as Wire), ...more },
})

const changeLink = (facts: Facts, name: string, more: Partial<SampleLink> | undefined): Facts => ({
  ...facts,
  seen: facts.seen.flatMap((link) => {
    if (link.name !== name) return [link]
    return more === undefined ? [] : [{ ...link, ...more }]
  }),
})

const toCarriers = (
  { wire, attachments, seen }: Facts,
  down: readonly WireAttachment[],
): readonly boolean[] => {
  const part = toWirePart(wire, attachments, 'n1')
  const isUp = (end: WireAttachment): boolean => !down.includes(end)
  const { links } = newObservation(seen)
  const facts = { id: ID, wire, part, plugged: part.ends, node: 'n1', links, isUp }
  return toWireGoal({ ...facts, tunnel: undefined }).ends.map(({ hasCarrier }) => hasCarrier)
}

describe('isSettled()', () => {
  for (const [name, facts] of Object.entries({ HERE, ACROSS, ALONE }))
    it(`says yes of a wire that is as it should be: ${name}`, () => {
      expect(settles(facts)).to.equal(true)
    })

  it('says yes of what this node has nothing of', () => {
    const wire = newWire([newClaim('c', 'n2')], 'waiting')
    expect(settles({ ...ALONE, wire, attachments: [], seen: [] })).to.equal(true)
  })

  const rows: Readonly<Record<string, Facts>> = {
    'a host end is gone': changeLink(HERE, A.hostDevice, undefined),
    'a host end is down': changeLink(HERE, A.hostDevice, { isUp: false, hasCarrier: false }),
    'a redirect is gone': changeLink(HERE, A.hostDevice, { targets: [] }),
    'a redirect leads to what is gone': changeLink(HERE, A.hostDevice, { targets: ['*'] }),
    'an owner set its interface down': changeLink(HERE, B.hostDevice, { hasCarrier: false }),
    'the cable is taken out': changeWire(HERE, { isUnplugged: true }),
    'nobody reported': changeWire(HERE, { reports: [] }),
    'the document was emptied': { ...HERE, wire: undefined },
    'a claim has no attachment': { ...HERE, attachments: [A] },
    'an attachment is new': { ...HERE, attachments: [A, { ...B, phase: 'adding' }] },
    'the document says it is down': changeWire(HERE, {
      ends: [newClaim('a', 'n1'), { ...newClaim('b', 'n1'), isUp: false }],
    }),
    'the node has another address now': {
      ...ACROSS,
      underlay: { address: '192.0.2.11', port: 14789 },
    },
    'a note of what was displaced is left': changeWire(HERE, {
      displaced: [{ containerID: 'x', ifname: 'eth1', node: 'n1' }],
    }),
    'a newer sandbox has the end': changeWire(ALONE, {
      ends: [{ ...newClaim('z', 'n2'), holder: 'pod/a' }],
    }),
    'the tunnel is gone': changeLink(ACROSS, TUNNEL, undefined),
    'the tunnel is down': changeLink(ACROSS, TUNNEL, { isUp: false }),
    'the tunnel leads elsewhere': changeLink(ACROSS, TUNNEL, { targets: ['lwx'] }),
    'the tunnel ends elsewhere': changeLink(ACROSS, TUNNEL, {
      vxlan: { vni: 7, local: '192.0.2.1', remote: '127.0.0.9', port: 14_789 },
    }),
    'the tunnel has another MTU': changeLink(ACROSS, TUNNEL, { mtuBytes: 1280 }),
    'a host end does ARP': changeLink(HERE, A.hostDevice, { flags: new Set(['UP']) }),
    'the tunnel is for another VNI': changeWire(ACROSS, { vni: 8 }),
    'the peer is forbidden': { ...ACROSS, peers: [] },
    'the VNI is not claimed yet': changeWire(ACROSS, { vni: undefined, tunnelNodes: [] }),
    'a tunnel is left of a wire on one node': {
      ...HERE,
      seen: [...HERE.seen, SEEN_TUNNEL],
    },
    'a tunnel is still noted': changeWire(ALONE, { tunnelNodes: ['n1'], vni: 7 }),
    'the far owner has its interface down': changeWire(ACROSS, {
      ends: [newClaim('a', 'n1'), { ...newClaim('c', 'n2'), isUp: false }],
    }),
  }
  for (const [name, facts] of Object.entries(rows))
    it(`says no when ${name}`, () => {
      expect(settles(facts)).to.equal(false)
    })
})

describe('toWireGoal()', () => {
  it("gives an end the carrier of the other end's owner", () => {
    expect(toCarriers(HERE, [])).to.deep.equal([true, true])
    expect(toCarriers(HERE, [B])).to.deep.equal([false, true])
    expect(toCarriers(HERE, [A, B])).to.deep.equal([false, false])
  })

  it('gives none to an end alone, nor before there is a tunnel', () => {
    expect(toCarriers(ALONE, [])).to.deep.equal([false])
    expect(toCarriers(ACROSS, [])).to.deep.equal([false])
  })
})
