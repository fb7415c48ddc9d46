import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { DecodeError } from '../../../core/errors.ts'
import type { Wire } from '../../../core/wire/wire.ts'
import {
  fromWireObject,
  hasSameClaims,
  hasSameStatus,
  toNodeLabel,
  toObjectName,
  toWireObject,
} from '../../../core/wire/object.ts'

const NOW = new Date('2026-01-02T03:04:05.678Z')
const LATER = new Date('2026-01-02T04:00:00Z')

const END = {
  holder: 'vm/r1',
  ifname: 'ge0',
  containerID: 'c1',
  node: 'n1',
  address: '192.0.2.1',
  mtuBytes: 1450,
  pod: 'virt-launcher-r1-x',
  isUp: true,
}
const WIRE: Wire = {
  namespace: 'lab',
  name: 'r1-r2',
  ends: [END],
  isUnplugged: false,
  standbys: [],
  displaced: [],
  vni: undefined,
  tunnelNodes: [],
  reports: [{ node: 'n1', state: 'waiting', ends: ['c1@ge0'], message: undefined }],
}

describe('a wire as an object', () => {
  it('comes back the same', () => {
    expect(fromWireObject(toWireObject(WIRE, undefined, NOW))).to.deep.equal(WIRE)
    const across: Wire = {
      ...WIRE,
      ends: [END, { ...END, holder: 'pod/h1', node: 'n2', pod: undefined, isUp: false }],
      isUnplugged: true,
      displaced: [{ containerID: 'c0', ifname: 'ge0', node: 'n4' }],
      vni: 7,
      tunnelNodes: ['n3'],
      reports: [
        {
          node: 'n2',
          state: 'failed',
          ends: [],
          message: 'why',
          guests: [{ end: 'c1@ge0', reason: 'NotAsked', message: undefined }],
        },
      ],
    }
    const object = toWireObject(across, undefined, NOW)
    expect(fromWireObject(object)).to.deep.equal(across)
    expect(Object.keys(object.metadata.labels ?? {})).to.have.members(
      ['n1', 'n2', 'n3', 'n4'].map(toNodeLabel),
    )
  })

  it('leaves what others keep in it alone, and takes the labels of nodes that left', () => {
    const object = toWireObject(WIRE, undefined, NOW)
    const edited = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: 'u',
        labels: { ...object.metadata.labels, course: 'ccna' },
      },
      spec: { ...object.spec, later: true },
    }
    const moved = toWireObject({ ...WIRE, ends: [{ ...END, node: 'n2' }] }, edited, NOW)
    expect(moved.metadata).to.include({ uid: 'u' })
    expect(moved.metadata.labels).to.deep.equal({ course: 'ccna', [toNodeLabel('n2')]: '' })
    expect(moved.spec).to.include({ later: true })
  })

  it('knows since when it is connected, and what has changed', () => {
    const first = toWireObject(WIRE, undefined, NOW)
    const same = toWireObject(WIRE, first, LATER)
    expect(hasSameClaims(first, same)).to.equal(true)
    expect(hasSameStatus(first, same)).to.equal(true)
    expect(same.status).to.have.nested.property(
      'conditions[0].lastTransitionTime',
      '2026-01-02T03:04:05Z',
    )
    const far = { ...END, holder: 'pod/h1', containerID: 'c2' }
    const joined: Wire = {
      ...WIRE,
      ends: [END, far],
      reports: [{ node: 'n1', state: 'joined', ends: ['c1@ge0', 'c2@ge0'] }],
    }
    const connected = toWireObject(joined, first, LATER)
    expect(hasSameClaims(first, connected)).to.equal(false)
    expect(hasSameStatus(first, connected)).to.equal(false)
    expect(connected.status).to.include({ state: 'Connected' })
    expect(connected.status).to.have.nested.property(
      'conditions[0].lastTransitionTime',
      '2026-01-02T04:00:00Z',
    )
  })

  it('forgets the reports of nodes that have nothing of it any more', () => {
    const object = toWireObject(WIRE, undefined, NOW)
    const reports = [{ node: 'gone', state: 'joined', ends: [] }]
    expect(fromWireObject({ ...object, status: { reports } }).reports).to.deep.equal([])
  })

  const object = toWireObject(WIRE, undefined, NOW)
  const [end] = object.spec['ends'] as readonly Readonly<Record<string, unknown>>[]
  const broken = [
    { name: 'no object', value: undefined, word: 'metadata' },
    { name: 'no spec', value: { ...object, spec: undefined }, word: 'spec' },
    {
      name: 'another name',
      value: { ...object, spec: { ...object.spec, name: 'w2' } },
      word: 'spec.name',
    },
    {
      name: 'a VNI that is none',
      value: { ...object, spec: { ...object.spec, vni: 0 } },
      word: 'vni',
    },
    {
      name: 'three ends',
      value: { ...object, spec: { ...object.spec, ends: [end, end, end] } },
      word: '2 ends at most',
    },
    {
      name: 'an end that is text',
      value: { ...object, spec: { ...object.spec, ends: ['r1'] } },
      word: 'ends[0]',
    },
    {
      name: 'an end without MTU',
      value: { ...object, spec: { ...object.spec, ends: [{ ...end, mtu: 'x' }] } },
      word: 'ends[0].mtu',
    },
    {
      name: 'tunnelNodes of numbers',
      value: { ...object, spec: { ...object.spec, tunnelNodes: [1] } },
      word: 'tunnelNodes[0]',
    },
    {
      name: 'an unknown report',
      value: { ...object, status: { reports: [{ node: 'n1', state: 'great', ends: [] }] } },
      word: 'joined, waiting, failed',
    },
    {
      name: 'a word about nobody',
      value: {
        ...object,
        status: {
          reports: [{ node: 'n1', state: 'joined', ends: [], guests: [{ end: 'c1@eth1' }] }],
        },
      },
      word: 'guests[0].reason',
    },
  ]
  for (const { name, value, word } of broken)
    it(`refuses ${name}`, () => {
      expect(() => fromWireObject(value)).to.throw(DecodeError, word)
    })
})

describe('toObjectName()', () => {
  it('keeps what Kubernetes takes', () => {
    for (const name of ['r1-r2', 'a', 'r1.r2', '0']) expect(toObjectName(name)).to.equal(name)
  })

  it('makes every name fit, and no two the same', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/)
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(toObjectName(a)).to.match(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/)
        expect(toObjectName(a).length).to.be.at.most(253)
        expect(toObjectName(a) === toObjectName(b)).to.equal(a === b)
      }),
    )
  })
})
