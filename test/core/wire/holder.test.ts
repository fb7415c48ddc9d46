import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { CniError } from '../../../core/errors.ts'
import { expectOwnEnd, findOwnerClaim, toPod, toPodOwner } from '../../../core/wire/holder.ts'
import { toMigrationState } from '../../../core/wire/migration.ts'

type Fields = Readonly<Record<string, unknown>>

function newPod(more: Fields): Fields {
  return { metadata: { name: 'p-1', namespace: 'lab', uid: 'u1', ...more } }
}

function newOwner(kind: string, name: string, more: Fields = {}): Fields {
  const apiVersion = kind === 'VirtualMachineInstance' ? 'kubevirt.io/v1' : 'apps/v1'
  return { apiVersion, kind, name, uid: 'u2', controller: true, ...more }
}

const LAUNCHER = {
  labels: { 'vm.kubevirt.io/name': 'hostname' },
  ownerReferences: [newOwner('VirtualMachineInstance', 'r1')],
}
const VMI = {
  metadata: { name: 'r1', uid: 'u2' },
  status: { activePods: { u1: 'n1', u9: 'n2' } },
}
const HASH = { 'pod-template-hash': '5d9c' }
const REPLICA = {
  labels: { ...HASH, app: 'web' },
  ownerReferences: [newOwner('ReplicaSet', 'web-5d9c')],
}
const REPLICA_SET = {
  metadata: { name: 'web-5d9c', uid: 'u2', ownerReferences: [newOwner('Deployment', 'web')] },
  spec: { selector: { matchLabels: { ...HASH, app: 'web' } } },
}

describe('toPodOwner()', () => {
  const rows: readonly {
    readonly name: string
    readonly more: Fields
    readonly owner?: unknown
    readonly holder: string
  }[] = [
    { name: 'a pod of its own', more: {}, holder: 'pod/p-1' },
    {
      name: "a launcher, whatever hostname its label has: the VM's name",
      more: LAUNCHER,
      owner: VMI,
      holder: 'vm/r1',
    },
    {
      name: "a Deployment's pod: the Deployment, whichever ReplicaSet",
      more: REPLICA,
      owner: REPLICA_SET,
      holder: 'deployment/web',
    },
    {
      name: 'the pod of a ReplicaSet that no Deployment made',
      more: REPLICA,
      owner: { ...REPLICA_SET, metadata: { name: 'web-5d9c', uid: 'u2' } },
      holder: 'pod/p-1',
    },
    {
      name: "a StatefulSet's pod, whose name stays",
      more: { ownerReferences: [newOwner('StatefulSet', 'web')] },
      holder: 'pod/p-1',
    },
    { name: 'a VMI that nobody has found', more: LAUNCHER, holder: 'pod/p-1' },
    {
      name: 'a VMI that does not list the pod',
      more: LAUNCHER,
      owner: { ...VMI, status: { activePods: { u9: 'n2' } } },
      holder: 'pod/p-1',
    },
    {
      name: 'a VMI without launchers',
      more: LAUNCHER,
      owner: { metadata: VMI.metadata },
      holder: 'pod/p-1',
    },
    {
      name: 'another VMI of that name',
      more: LAUNCHER,
      owner: { ...VMI, metadata: { name: 'r1', uid: 'u3' } },
      holder: 'pod/p-1',
    },
    {
      name: 'a VMI of another group',
      more: {
        ownerReferences: [
          newOwner('VirtualMachineInstance', 'r1', { apiVersion: 'example.com/v9' }),
        ],
      },
      owner: VMI,
      holder: 'pod/p-1',
    },
    {
      name: 'a VMI that is not the controller',
      more: {
        ownerReferences: [newOwner('VirtualMachineInstance', 'r1', { controller: false })],
      },
      owner: VMI,
      holder: 'pod/p-1',
    },
    {
      name: 'a ReplicaSet of another group',
      more: {
        ...REPLICA,
        ownerReferences: [newOwner('ReplicaSet', 'web-5d9c', { apiVersion: 'x/v1' })],
      },
      owner: REPLICA_SET,
      holder: 'pod/p-1',
    },
    { name: 'a ReplicaSet that is none', more: REPLICA, holder: 'pod/p-1' },
    {
      name: 'a ReplicaSet that does not count the pod among its own',
      more: { ...REPLICA, labels: HASH },
      owner: REPLICA_SET,
      holder: 'pod/p-1',
    },
    {
      name: "a ReplicaSet of somebody else's Deployment",
      more: REPLICA,
      owner: {
        ...REPLICA_SET,
        metadata: {
          ...REPLICA_SET.metadata,
          ownerReferences: [newOwner('Deployment', 'web', { apiVersion: 'x/v1' })],
        },
      },
      holder: 'pod/p-1',
    },
  ]
  for (const { name, more, owner, holder } of rows)
    it(name, () => {
      const found = toPodOwner(newPod(more), owner)
      expect(found?.holder).to.equal(holder)
      const self = { apiVersion: 'v1', kind: 'Pod', namespace: 'lab', name: 'p-1', uid: 'u1' }
      const instance = { ...self, apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachineInstance' }
      expect(found?.subjects).to.deep.equal(
        holder === 'vm/r1' ? [self, { ...instance, name: 'r1', uid: 'u2' }] : [self],
      )
    })

  it('believes nothing that a pod says of itself', () => {
    const said = fc.record({
      labels: fc.dictionary(fc.constantFrom('pod-template-hash', 'app'), fc.string()),
      ownerReferences: fc.array(
        fc.record({
          apiVersion: fc.constantFrom('kubevirt.io/v1', 'apps/v1', 'v1'),
          kind: fc.constantFrom('VirtualMachineInstance', 'ReplicaSet', 'Deployment', 'Pod'),
          name: fc.constantFrom('r1', 'web-5d9c', '__proto__'),
          uid: fc.constantFrom('u2', 'u9', 'toString'),
          controller: fc.boolean(),
        }),
      ),
    })
    fc.assert(
      fc.property(said, fc.constantFrom(undefined, VMI, REPLICA_SET), (more, owner) => {
        // u9 has a launcher's place, and this pod another's uid.
        const pod = newPod({ ...more, uid: 'constructor' })
        expect(toPodOwner(pod, owner)?.holder).to.not.match(/^vm\//)
        expect(toPodOwner(pod)?.holder).to.equal('pod/p-1')
      }),
    )
  })

  for (const value of [undefined, 'pod', {}, newPod({ uid: 5 }), newPod({ name: undefined })])
    it(`takes ${JSON.stringify(value)} for no pod`, () => {
      expect(toPodOwner(value)).to.equal(undefined)
    })
})

describe('findOwnerClaim()', () => {
  it('is the controller, of a kind that somebody can ask', () => {
    const others = [newOwner('Node', 'n1'), newOwner('ReplicaSet', 'a', { controller: false })]
    const claim = { kind: 'VirtualMachineInstance', name: 'r1', uid: 'u2' }
    expect(findOwnerClaim(newPod(LAUNCHER))).to.deep.equal(claim)
    expect(findOwnerClaim(newPod({ ownerReferences: others }))).to.equal(undefined)
    expect(findOwnerClaim(newPod({ ownerReferences: 'none' }))).to.equal(undefined)
  })
})

describe('expectOwnEnd()', () => {
  const own = ['pod/h1', 'vm/r1']
  for (const end of ['h1', 'r1', 'pod/h1', 'vm/r1'])
    it(`takes ${end}`, () => expectOwnEnd(end, own))
  for (const end of ['pod/h2', 'vm/r2', 'deployment/web', 'container/c', 'team/h1'])
    it(`refuses ${end}, which may be another's`, () => {
      expect(() => expectOwnEnd(end, own))
        .to.throw(CniError, 'expected a name without "/", or pod/h1 or vm/r1')
        .with.property('code', 7)
    })
})

describe('toPod()', () => {
  const metadata = { name: 'h1', namespace: 'lab', uid: 'u1' }
  const rows = [
    { name: 'no pod', object: { kind: 'Pod' }, want: undefined },
    {
      name: 'one that waits for a node',
      object: { metadata, spec: {} },
      want: { uid: 'u1', node: undefined, isLeaving: false, isOver: false },
    },
    {
      name: 'one that runs',
      object: { metadata, spec: { nodeName: 'n1' } },
      want: { uid: 'u1', node: 'n1', isLeaving: false, isOver: false },
    },
    {
      name: 'one that somebody has deleted',
      object: { metadata: { ...metadata, deletionTimestamp: 'now' }, spec: { nodeName: 'n1' } },
      want: { uid: 'u1', node: 'n1', isLeaving: true, isOver: false },
    },
    ...['Succeeded', 'Failed'].map((phase) => ({
      name: `one that has ${phase.toLowerCase()}`,
      object: { metadata, spec: { nodeName: 'n1' }, status: { phase } },
      want: { uid: 'u1', node: 'n1', isLeaving: false, isOver: true },
    })),
  ]
  for (const { name, object, want } of rows)
    it(`knows ${name}`, () => {
      expect(toPod(object)).to.deep.equal(want)
    })
})

const at = (nodeName: string, more: Fields = {}): Fields => ({
  ...VMI,
  status: { ...VMI.status, nodeName, ...more },
})

describe('a launcher that KubeVirt made for a migration', () => {
  const target = {
    ...newPod({ ...LAUNCHER, labels: { 'kubevirt.io/migrationJobUID': 'm1' } }),
    spec: { nodeName: 'n2' },
  }
  it('waits for its guest as long as that runs on another node', () => {
    expect(toPodOwner(target, at('n1'))).to.include({ holder: 'vm/r1', isTarget: true })
    expect(toPodOwner(target, at('n2'))).to.include({ isTarget: false })
    expect(toPodOwner({ ...newPod(LAUNCHER), spec: target.spec }, at('n1'))).to.include({
      isTarget: false,
    })
  })

  it('waits for nobody where its VM does not know it', () => {
    const stranger = { ...VMI, status: { activePods: {}, nodeName: 'n1' } }
    expect(toPodOwner(target, stranger)).to.include({ holder: 'pod/p-1', isTarget: false })
  })

  const rows = [
    { name: 'nobody has begun', vmi: at('n1'), want: 'pending' },
    {
      name: 'an earlier one has left its word',
      vmi: at('n1', { migrationState: { targetPod: 'other', completed: true } }),
      want: 'pending',
    },
    {
      name: 'is under way',
      vmi: at('n1', { migrationState: { targetPod: 'p-1' } }),
      want: 'running',
    },
    {
      name: 'has begun to run its guest',
      vmi: at('n1', {
        migrationState: {
          targetPod: 'p-1',
          targetNodeDomainReadyTimestamp: '2026-11-30T10:00:00Z',
        },
      }),
      want: 'done',
    },
    {
      name: 'follows one whose guest ran elsewhere',
      vmi: at('n1', {
        migrationState: { targetPod: 'x', targetNodeDomainReadyTimestamp: '2026-11-30T10:00:00Z' },
      }),
      want: 'pending',
    },
    {
      name: 'is done',
      vmi: at('n1', { migrationState: { targetPod: 'p-1', completed: true } }),
      want: 'done',
    },
    {
      name: 'has failed',
      vmi: at('n1', { migrationState: { targetPod: 'p-1', completed: true, failed: true } }),
      want: 'failed',
    },
    { name: 'has brought the guest', vmi: at('n2'), want: 'done' },
    { name: 'is of a VM that is gone', vmi: undefined, want: 'failed' },
  ]
  for (const { name, vmi, want } of rows)
    it(`is the target of a migration that ${name}`, () => {
      expect(toMigrationState(vmi, 'p-1', 'n2')).to.equal(want)
    })
})
