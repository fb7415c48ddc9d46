import { expect } from 'chai'
import { describe, it } from 'mocha'

import { parseItems, pickEvents, readName, toAgentPod } from '../../../core/doctor/cluster-list.ts'
import { DecodeError } from '../../../core/errors.ts'
import { newClaim, newFacts } from '../view/samples.ts'

const newPod = (conditions: unknown) => ({
  metadata: { name: 'l2wire-agent-x' },
  spec: { nodeName: 'n1' },
  status: { conditions },
})

const newEvent = (kind: string, name: string, more: object = {}) => ({
  involvedObject: { kind, name },
  type: 'Normal',
  reason: 'Why',
  message: 'what',
  lastTimestamp: '2026-11-21T12:00:00Z',
  ...more,
})

describe('parseItems()', () => {
  it('gives the items, and none for no output', () => {
    expect(parseItems('{"items":[{"a":1},7]}', 'pods')).to.deep.equal([{ a: 1 }])
    expect(parseItems('', 'pods')).to.deep.equal([])
  })
  for (const json of ['[]', '{}', '{"items":{}}'])
    it(`refuses ${json}`, () => {
      expect(() => parseItems(json, 'pods')).to.throw(DecodeError, 'pods')
    })
})

describe('toAgentPod()', () => {
  const ready = { type: 'Ready', status: 'True' }
  const rows = [
    {
      name: 'a ready one',
      pod: newPod([{ type: 'Initialized', status: 'True' }, ready]),
      want: true,
    },
    { name: 'one that is not', pod: newPod([{ ...ready, status: 'False' }]), want: false },
    { name: 'one that is new', pod: newPod(undefined), want: false },
  ]
  for (const { name, pod, want } of rows)
    it(name, () => {
      expect(toAgentPod(pod)).to.deep.equal({ node: 'n1', name: 'l2wire-agent-x', isReady: want })
    })
  it('and one that says nothing has no node', () => {
    expect(toAgentPod({})).to.deep.equal({ node: '', name: '', isReady: false })
    expect(readName({})).to.equal('')
  })
})

describe('pickEvents()', () => {
  const { wire } = newFacts([
    newClaim(1),
    newClaim(2, { holder: 'vm/r1', pod: 'virt-launcher-r1-x' }),
  ])
  const rows = [
    { name: "a holder's", event: newEvent('Pod', 'h1'), isPicked: true },
    { name: "a launcher's", event: newEvent('Pod', 'virt-launcher-r1-x'), isPicked: true },
    { name: "a VM instance's", event: newEvent('VirtualMachineInstance', 'r1'), isPicked: true },
    { name: "another pod's", event: newEvent('Pod', 'h9'), isPicked: false },
    { name: 'another kind of that name', event: newEvent('Service', 'h1'), isPicked: false },
    {
      name: "another pod's that names the wire",
      event: newEvent('Pod', 'h9', { message: 'Cannot plug it into wire "lab/r1-h1": no' }),
      isPicked: true,
    },
  ]
  for (const { name, event, isPicked } of rows)
    it(`${name}: ${isPicked ? 'yes' : 'no'}`, () => {
      expect(pickEvents([event], wire)).to.have.length(isPicked ? 1 : 0)
    })

  it('takes the stamp that is there', () => {
    const stamps = [
      { lastTimestamp: null, eventTime: '2026-11-21T12:00:01Z' },
      { lastTimestamp: null, eventTime: null },
    ]
    const events = stamps.map((stamp) => newEvent('Pod', 'h1', stamp))
    expect(pickEvents(events, wire).map(({ time }) => time)).to.deep.equal([
      '2026-11-21T12:00:01Z',
      '',
    ])
  })
})
