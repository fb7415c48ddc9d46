import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CNI_CODE, CniError } from '../../../core/errors.ts'
import { listNotices, toRefusal } from '../../../core/wire/notice.ts'
import type { EndClaim, NodeReport, Wire } from '../../../core/wire/wire.ts'
import { listEndKeys, summarizeWire } from '../../../core/wire/summary.ts'
import { newWire } from '../samples.ts'

function newEnd(holder: string, node: string, mtuBytes = 1500): EndClaim {
  const containerID = `c-${holder.replace('/', '-')}`
  return {
    holder,
    ifname: 'eth1',
    containerID,
    node,
    address: '192.0.2.1',
    mtuBytes,
    pod: 'p',
    isUp: true,
  }
}

const [R1, H1] = [newEnd('vm/r1', 'n1'), newEnd('pod/h1', 'n2')]

function newTunnelled(ends: readonly EndClaim[], reports: readonly NodeReport[] = []): Wire {
  return newWire(ends, { vni: 7, tunnelNodes: ['n1', 'n2'], reports })
}

function newReport(
  node: string,
  state: NodeReport['state'],
  more: Partial<NodeReport> = {},
): NodeReport {
  return { node, state, ends: listEndKeys(newTunnelled([R1, H1])), ...more }
}

const JOINED = [newReport('n1', 'joined'), newReport('n2', 'joined')]

describe('summarizeWire()', () => {
  const rows = [
    { name: 'one end', ends: [R1], reports: [], state: 'Waiting', word: 'only vm/r1 eth1' },
    {
      name: 'two ends nobody joined yet',
      ends: [R1, H1],
      reports: [],
      state: 'Connecting',
      word: 'node n1 and n2',
    },
    {
      name: 'one node joined',
      ends: [R1, H1],
      reports: [newReport('n1', 'joined')],
      state: 'Connecting',
      word: 'node n2 has',
    },
    { name: 'both joined', ends: [R1, H1], reports: JOINED, state: 'Connected', word: 'both ends' },
    {
      name: 'a report on other ends',
      ends: [R1, newEnd('pod/h2', 'n2')],
      reports: JOINED,
      state: 'Connecting',
      word: 'n1 and n2',
    },
    {
      name: 'one failed',
      ends: [R1, H1],
      reports: [newReport('n1', 'joined'), newReport('n2', 'failed', { message: 'no route' })],
      state: 'Failed',
      word: 'node n2: no route',
    },
    {
      name: 'different MTUs',
      ends: [R1, { ...H1, mtuBytes: 9000 }],
      reports: JOINED,
      state: 'Connected',
      word: 'different MTUs',
    },
    { name: 'no end', ends: [], reports: [], state: 'Unplugged', word: 'n1, n2' },
  ]
  for (const { name, ends, reports, state, word } of rows)
    it(`${name}: ${state}`, () => {
      const summary = summarizeWire(newTunnelled(ends, reports))
      expect(summary.state).to.equal(state)
      expect(summary.message).to.include(word)
    })

  it('names each node and MTU once', () => {
    const wire = newTunnelled([R1, { ...H1, node: 'n1' }])
    expect(summarizeWire(wire)).to.include({
      nodes: 'n1',
      mtu: '1500',
      ends: 'vm/r1 eth1, pod/h1 eth1',
    })
  })
})

function listReasons(wire: Wire, report: NodeReport): readonly string[] {
  return listNotices(wire, report).map(({ type, reason }) => `${type} ${reason}`)
}

describe('listNotices()', () => {
  it('tells of a connection, of a failure, of MTUs that differ, and of waiting nothing', () => {
    const wire = newTunnelled([R1, H1])
    expect(listReasons(wire, newReport('n1', 'waiting'))).to.deep.equal([])
    expect(listReasons(wire, newReport('n1', 'joined'))).to.deep.equal(['Normal WireConnected'])
    expect(listReasons(wire, newReport('n1', 'failed'))).to.deep.equal(['Warning WireFailed'])
    const mixed = newTunnelled([R1, { ...H1, mtuBytes: 9000 }])
    expect(listReasons(mixed, newReport('n1', 'joined'))).to.deep.equal([
      'Normal WireConnected',
      'Warning WireMtuMismatch',
    ])
    const [connected] = listNotices({ ...wire, vni: undefined }, newReport('n1', 'joined'))
    expect(connected?.message).to.equal(
      'wire lab/w connects vm/r1 eth1, pod/h1 eth1 (n1, n2, MTU 1500)',
    )
  })
})

describe('toRefusal()', () => {
  it('is worth a word where a user can mend it', () => {
    expect(toRefusal(new CniError(CNI_CODE.WIRE_FULL, 'full'))).to.deep.equal({
      type: 'Warning',
      reason: 'WireRefused',
      message: 'full',
    })
    expect(toRefusal(new CniError(CNI_CODE.TRY_AGAIN_LATER, 'later'))).to.equal(undefined)
  })
})
