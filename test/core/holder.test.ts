import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPod, toPodOwner } from '../../core/holder.ts'

function newPod(more: Readonly<Record<string, unknown>>): unknown {
  return { metadata: { name: 'p-1', namespace: 'lab', uid: 'u1', ...more } }
}

function newOwner(
  kind: string,
  name: string,
  controller = true,
): Readonly<Record<string, unknown>> {
  return { apiVersion: 'x/v1', kind, name, uid: 'u2', controller }
}

describe('toPodOwner()', () => {
  const rows = [
    { name: 'a pod of its own', more: {}, holder: 'pod/p-1' },
    {
      name: "a launcher, whatever hostname its label has: the VM's name",
      more: {
        labels: { 'vm.kubevirt.io/name': 'hostname' },
        ownerReferences: [newOwner('VirtualMachineInstance', 'r1')],
      },
      holder: 'vm/r1',
      kinds: ['Pod', 'VirtualMachineInstance'],
    },
    {
      name: "a Deployment's pod: the Deployment, whichever ReplicaSet",
      more: {
        labels: { 'pod-template-hash': '5d9c' },
        ownerReferences: [newOwner('ReplicaSet', 'web-5d9c')],
      },
      holder: 'deployment/web',
    },
    {
      name: 'the pod of a ReplicaSet that no Deployment made',
      more: { ownerReferences: [newOwner('ReplicaSet', 'web')] },
      holder: 'pod/p-1',
    },
    {
      name: "a StatefulSet's pod, whose name stays",
      more: { ownerReferences: [newOwner('StatefulSet', 'web')] },
      holder: 'pod/p-1',
    },
    {
      name: 'an owner that is not the controller',
      more: { ownerReferences: [newOwner('VirtualMachineInstance', 'r1', false)] },
      holder: 'pod/p-1',
    },
  ]
  for (const { name, more, holder, kinds = ['Pod'] } of rows)
    it(name, () => {
      const owner = toPodOwner(newPod(more))
      expect(owner?.holder).to.equal(holder)
      expect(owner?.subjects.map(({ kind }) => kind)).to.deep.equal(kinds)
      expect(owner?.subjects[0]).to.include({ namespace: 'lab', name: 'p-1', uid: 'u1' })
    })

  for (const value of [undefined, 'pod', {}, newPod({ uid: 5 }), newPod({ name: undefined })])
    it(`takes ${JSON.stringify(value)} for no pod`, () => {
      expect(toPodOwner(value)).to.equal(undefined)
    })
})

describe('toPod()', () => {
  const metadata = { name: 'h1', namespace: 'lab', uid: 'u1' }
  const rows = [
    { name: 'no pod', object: { kind: 'Pod' }, want: undefined },
    {
      name: 'one that waits for a node',
      object: { metadata, spec: {} },
      want: { uid: 'u1', node: undefined, isLeaving: false },
    },
    {
      name: 'one that runs',
      object: { metadata, spec: { nodeName: 'n1' } },
      want: { uid: 'u1', node: 'n1', isLeaving: false },
    },
    {
      name: 'one that somebody has deleted',
      object: { metadata: { ...metadata, deletionTimestamp: 'now' }, spec: { nodeName: 'n1' } },
      want: { uid: 'u1', node: 'n1', isLeaving: true },
    },
  ]
  for (const { name, object, want } of rows)
    it(`knows ${name}`, () => {
      const pod = toPod(object)
      if (want === undefined) expect(pod).to.equal(undefined)
      else expect(pod).to.deep.equal({ ...want, owner: toPodOwner(object) })
    })
})
