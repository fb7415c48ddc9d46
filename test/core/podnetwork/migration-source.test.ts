import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toNicWish } from '../../../core/attach/launcher.ts'
import { DecodeError } from '../../../core/errors.ts'
import { NO_DNS } from '../../../core/podnetwork/pod-dns.ts'
import {
  findChange,
  findPodAddresses,
  findSourcePodName,
  isSourcePod,
  toSource,
  type MigrationRef,
} from '../../../core/podnetwork/migration-source.ts'
import { BIND_CONFIG } from '../samples.ts'

const MAC = '02:00:00:00:00:01'
const REF: MigrationRef = {
  namespace: 'lab',
  name: 'kubevirt-evacuation-x',
  uid: 'm1',
  node: 'n1',
  podUids: ['p1', 'p2'],
}

const VMI = {
  metadata: { name: 'r1', uid: 'v1' },
  status: { activePods: { p1: 'n1', p2: 'n2' }, nodeName: 'n1' },
}

function newTarget(more: object = {}, nodeName = 'n2'): object {
  const owner = { kind: 'VirtualMachineInstance', apiVersion: 'kubevirt.io/v1', controller: true }
  return {
    metadata: {
      name: 'virt-launcher-r1-b',
      namespace: 'lab',
      uid: 'p2',
      labels: { 'kubevirt.io/migrationJobUID': 'm1' },
      annotations: { 'kubevirt.io/migrationJobName': REF.name },
      ownerReferences: [{ ...owner, name: 'r1', uid: 'v1' }],
      ...more,
    },
    spec: { nodeName },
  }
}

const ask = (standby: typeof BIND_CONFIG.standby): ReturnType<typeof toNicWish> =>
  toNicWish(
    { namespace: 'lab', name: 'r1' },
    { ...BIND_CONFIG, standby },
    { own: NO_DNS, node: undefined },
  )

const toMigration = (uid: string, sourcePod?: string): object => ({
  metadata: { uid },
  status: { migrationState: { sourcePod } },
})

const toPodOn = (uid: string, nodeName: string): object => ({
  metadata: { uid },
  spec: { nodeName },
})

const toReportedPod = (status: string): object => ({
  metadata: { annotations: { 'k8s.v1.cni.cncf.io/network-status': status } },
  status: { podIPs: [{ ip: '10.0.0.2' }, { ip: 'FD00::0:2' }] },
})

describe('toSource()', () => {
  it("is of a migration's target, with its migration and whom to tell", () => {
    const source = toSource(newTarget(), VMI, MAC)
    expect(source).to.deep.include({ mac: MAC, migration: REF })
    expect(source?.subjects.map(({ kind }) => kind)).to.deep.equal([
      'Pod',
      'VirtualMachineInstance',
    ])
  })
  const none: readonly { readonly name: string; readonly pod: object; readonly vmi?: object }[] = [
    { name: 'a launcher that was not made for a migration', pod: newTarget({ labels: {} }) },
    { name: 'a target whose guest has come', pod: newTarget({}, 'n1') },
    { name: 'a pod that its VM does not know', pod: newTarget({ uid: 'p9' }) },
    { name: 'a pod without VM', pod: newTarget({ ownerReferences: [] }) },
  ]
  for (const { name, pod } of none)
    it(`is not of ${name}`, () => expect(toSource(pod, VMI, MAC)).to.equal(undefined))
  it('has no migration where the pod names none', () => {
    const source = toSource(newTarget({ annotations: {} }), VMI, MAC)
    expect(source).to.include({ mac: MAC }).and.not.have.property('migration')
  })
})

describe('the source of toNicWish()', () => {
  it('is what the configuration says, without a cluster', () => {
    expect(ask({ mac: MAC, addresses: ['10.0.0.2'] })).to.deep.include({
      mac: MAC,
      source: { mac: MAC, addresses: ['10.0.0.2'], subjects: [] },
    })
  })
  it('is none where the configuration does not say what the VM has', () => {
    expect(ask({ mac: undefined, addresses: undefined })).to.not.have.property('source')
    expect(ask(undefined)).to.not.have.property('source')
  })
})

describe('findSourcePodName() and isSourcePod()', () => {
  it("go by KubeVirt's word on the migration that the target has", () => {
    expect(findSourcePodName(toMigration('m1', 'a'), REF)).to.equal('a')
    for (const other of [toMigration('m2', 'a'), toMigration('m1'), toMigration('m1', ''), {}])
      expect(findSourcePodName(other, REF)).to.equal(undefined)
  })
  it('believe it of a pod of the VM, where the VM runs', () => {
    expect(isSourcePod(toPodOn('p1', 'n1'), REF)).to.equal(true)
    for (const pod of [toPodOn('p9', 'n1'), toPodOn('p2', 'n2'), {}, undefined])
      expect(isSourcePod(pod, REF)).to.equal(false)
  })
})

describe('findPodAddresses()', () => {
  const pod = toReportedPod(
    JSON.stringify([
      { name: 'pods', interface: 'eth0', ips: ['10.9.9.9'], default: true },
      { name: 'lan', interface: 'pod1', ips: ['10.1.0.2', 7] },
      { name: 'cable', interface: 'pod2' },
    ]),
  )
  const rows = [
    ['eth0', ['10.0.0.2', 'fd00::2']],
    ['pod1', ['10.1.0.2']],
    ['pod2', []],
    ['pod3', undefined],
  ] as const
  for (const [link, want] of rows)
    it(`finds ${want === undefined ? 'none' : `[${want.join()}]`} of ${link}`, () =>
      expect(findPodAddresses(pod, link)).to.deep.equal(want))
  it('finds none of a pod that has not begun', () => {
    expect(findPodAddresses({}, 'eth0')).to.equal(undefined)
    expect(findPodAddresses({}, 'pod1')).to.equal(undefined)
  })
  for (const text of ['{', '{}'])
    it(`refuses ${text} for a list`, () =>
      expect(() => findPodAddresses(toReportedPod(text), 'pod1')).to.throw(
        DecodeError,
        'network-status',
      ))
})

describe('findChange()', () => {
  const rows: readonly {
    readonly name: string
    readonly here: readonly string[]
    readonly there: readonly string[]
    readonly mac?: string
    readonly want: string | undefined
  }[] = [
    { name: 'the same', here: ['10.0.0.2'], there: ['10.0.0.2'], want: undefined },
    {
      name: 'the same, families in another order, and further addresses that no VM is told',
      here: ['10.0.0.2', '10.0.0.7', 'fd00::2'],
      there: ['fd00::2', '10.0.0.2', '10.0.0.8'],
      want: undefined,
    },
    {
      name: 'another address',
      here: ['10.0.0.3', 'fd00::2'],
      there: ['10.0.0.2', 'fd00::2'],
      want: '10.0.0.3, expected 10.0.0.2',
    },
    {
      name: 'a family less and one more',
      here: ['10.0.0.2'],
      there: ['fd00::2'],
      want: '10.0.0.2, expected no IPv4 address, and no IPv6 address, expected fd00::2',
    },
    {
      name: 'another MAC',
      here: ['10.0.0.2'],
      there: ['10.0.0.2'],
      mac: '02:00:00:00:00:02',
      want: 'MAC 02:00:00:00:00:02, expected 02:00:00:00:00:01',
    },
  ]
  for (const { name, here, there, mac = MAC, want } of rows)
    it(name, () =>
      expect(findChange({ mac, addresses: here }, { mac: MAC, addresses: there })).to.equal(want),
    )
  it('says nothing of a MAC that nobody knows', () => {
    const there = { mac: undefined, addresses: ['10.0.0.2'] }
    expect(findChange({ mac: MAC, addresses: ['10.0.0.2'] }, there)).to.equal(undefined)
  })
})
