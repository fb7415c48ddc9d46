import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  listBindings,
  listBoundNics,
  toNetworkDefinition,
  toNetworkPod,
} from '../../../core/doctor/cluster-list.ts'
import type { AroundFacts, NetworkPod } from '../../../core/doctor/around-facts.ts'
import { parseNetworks } from '../../../core/attach/network-selection.ts'
import type { DoctorFacts } from '../../../core/doctor/facts.ts'
import { describeRows, type Row } from './changes.ts'
import { acrossWire, newDoctorFacts } from './samples.ts'

const BINDING = {
  name: 'l2wire',
  network: 'l2wire/l2wire-bind',
  sidecarImage: 'ghcr.io/l2wire/sidecar:0.2.0',
}
const POD: NetworkPod = {
  namespace: 'lab',
  name: 'h1',
  node: 'n1',
  isRunning: true,
  networks: '[{"name":"r1-h1","interface":"eth1"}]',
  networkStatus: '[{"name":"lab/r1-h1","interface":"eth1"}]',
}
const WELL: AroundFacts = {
  bindings: [BINDING],
  boundNics: [{ vm: 'lab/r1', nic: 'ge0', binding: 'l2wire' }],
  networks: [
    { namespace: 'l2wire', name: 'l2wire-bind', types: ['l2wire-bind'] },
    { namespace: 'lab', name: 'r1-h1', types: ['l2wire'] },
    { namespace: 'lab', name: 'other', types: ['bridge'] },
  ],
  pods: [POD],
}

const having = (more: Partial<AroundFacts>, facts: Partial<DoctorFacts> = {}): DoctorFacts =>
  newDoctorFacts(acrossWire, { around: { ...WELL, ...more }, ...facts })
const withPod = (more: Partial<NetworkPod>, facts: Partial<DoctorFacts> = {}): DoctorFacts =>
  having({ pods: [{ ...POD, ...more }] }, facts)
const noAgent = { agents: [{ node: 'n1', name: 'agent-n1', isReady: false }] }
const binding = (more: Partial<typeof BINDING>): DoctorFacts =>
  having({ bindings: [{ ...BINDING, ...more }] })

const rows: readonly Row[] = [
  {
    name: 'a registered binding, and a pod that Multus was called for',
    facts: having({}),
    kinds: [],
  },
  {
    name: 'a cluster whose KubeVirt may not be read',
    facts: having({ bindings: undefined }),
    kinds: [],
  },
  {
    name: 'a VM in a cluster without KubeVirt objects',
    facts: having({ bindings: [] }),
    kinds: ['binding-unknown'],
  },
  {
    name: 'a binding whose network is not there',
    facts: binding({ network: 'l2wire/gone' }),
    kinds: ['binding-network'],
  },
  {
    name: 'a binding whose network is of each VM',
    facts: binding({ network: 'l2wire-bind' }),
    kinds: [],
  },
  { name: 'networks that may not be read', facts: having({ networks: undefined }), kinds: [] },
  {
    name: 'a sidecar of another release',
    facts: binding({ sidecarImage: 'mirror:5000/sidecar:0.1.0' }),
    kinds: ['binding-release'],
  },
  {
    name: 'a sidecar by digest',
    facts: binding({ sidecarImage: 'x/sidecar@sha256:00' }),
    kinds: [],
  },
  { name: 'no sidecar', facts: binding({ sidecarImage: '' }), kinds: [] },
  {
    name: 'a pod that runs without its cable',
    facts: withPod({ networkStatus: '' }),
    kinds: ['multus-silent'],
  },
  {
    name: 'a pod that runs without a network of others',
    facts: withPod({ networkStatus: '', networks: 'other' }),
    kinds: [],
  },
  {
    name: 'a pod of no node yet',
    facts: withPod({ isRunning: false, networkStatus: '', node: '' }),
    kinds: [],
  },
  {
    name: 'a pod that is being made',
    facts: withPod({ isRunning: false, networkStatus: '' }),
    kinds: [],
  },
  {
    name: 'a pod that waits where no agent is ready',
    facts: withPod(
      { isRunning: false, networkStatus: '' },
      { ...noAgent, wires: [], vniClaims: [], visits: [] },
    ),
    kinds: ['pod-waits'],
  },
  {
    name: 'a pod that waits on a node that is gone',
    facts: withPod({ isRunning: false, networkStatus: '', node: 'n9' }),
    kinds: [],
  },
]
const types = (config: string): readonly string[] =>
  toNetworkDefinition({ metadata: { namespace: 'lab', name: 'a' }, spec: { config } }).types

describeRows('what others keep, in the eyes of doctor', rows)

describe('parseNetworks()', () => {
  for (const [text, want] of [
    ['a', ['lab/a']],
    ['a, x/b@eth1', ['lab/a', 'x/b']],
    ['[{"name":"a"},{"name":"b","namespace":"x"}]', ['lab/a', 'x/b']],
    ['', []],
    [' , ', []],
    ['[{"name":1},null,"a"]', []],
    ['[', []],
  ] as const)
    it(`reads ${JSON.stringify(text)}`, () => {
      expect(parseNetworks(text, 'lab')).to.deep.equal(want)
    })
})

describe('what doctor reads of others', () => {
  it('is a KubeVirt’s bindings', () => {
    const { name, network, sidecarImage } = BINDING
    const registered = { networkAttachmentDefinition: network, sidecarImage }
    const spec = { configuration: { network: { binding: { [name]: registered, odd: 1 } } } }
    expect(listBindings({ spec })).to.deep.equal([BINDING])
    expect(listBindings({ spec: {} })).to.deep.equal([])
  })

  it('is NICs by bindings of ours, of a VM and of an instance', () => {
    const domain = {
      devices: {
        interfaces: [
          { name: 'mgmt', masquerade: {} },
          { name: 'ge0', binding: { name: 'l2wire' } },
          { name: 'ge1', binding: { name: 'l2wire-macvtap' } },
          { name: 'ge2', binding: { name: 'passt' } },
        ],
      },
    }
    const metadata = { namespace: 'lab', name: 'r1' }
    const want = [
      { vm: 'lab/r1', nic: 'ge0', binding: 'l2wire' },
      { vm: 'lab/r1', nic: 'ge1', binding: 'l2wire-macvtap' },
    ]
    expect(listBoundNics({ metadata, spec: { domain } })).to.deep.equal(want)
    expect(listBoundNics({ metadata, spec: { template: { spec: { domain } } } })).to.deep.equal(
      want,
    )
    expect(listBoundNics({ metadata, spec: 1 })).to.deep.equal([])
  })

  it('is the plugins of a network, one or a list', () => {
    expect(types('{"type":"l2wire"}')).to.deep.equal(['l2wire'])
    expect(types('{"plugins":[{"type":"l2wire"},{"type":"tuning"},1]}')).to.deep.equal([
      'l2wire',
      'tuning',
    ])
    for (const config of ['', '[]', '{']) expect(types(config)).to.deep.equal([])
  })

  it('is pods that ask for networks and stay', () => {
    const annotations = {
      'k8s.v1.cni.cncf.io/networks': POD.networks,
      'k8s.v1.cni.cncf.io/network-status': POD.networkStatus,
    }
    const pod = {
      metadata: { namespace: 'lab', name: 'h1', annotations },
      spec: { nodeName: 'n1' },
      status: { phase: 'Running' },
    }
    expect(toNetworkPod(pod)).to.deep.equal(POD)
    expect(toNetworkPod({ metadata: { name: 'h1' } })).to.equal(undefined)
    const metadata = { ...pod.metadata, deletionTimestamp: '2026-11-21T12:00:00Z' }
    expect(toNetworkPod({ ...pod, metadata })).to.equal(undefined)
  })
})
