import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import {
  findInstance,
  findOwningVm,
  planCarrier,
  toMarkKey,
  type PatchOperation,
} from '../../../core/guest/carrier.ts'
import { toPodLinkName } from '../../../core/name.ts'

type Json = Record<string, unknown>

const LINK = toPodLinkName('ge0')
const MARK = 'l2wire.dev/carrier.ge0'
const NICS = '/spec/template/spec/domain/devices/interfaces'

interface Said {
  readonly state?: string
  readonly mark?: string
}

function newVm({ state, mark }: Said = {}, annotations: Json | null = { course: 'ccna' }): Json {
  const ge0 = {
    name: 'ge0',
    binding: { name: 'l2wire' },
    ...(state === undefined ? {} : { state }),
  }
  const all = { ...annotations, ...(mark === undefined ? {} : { [MARK]: mark }) }
  const metadata = { name: 'r1', uid: 'u1', resourceVersion: '7' }
  return {
    metadata: Object.keys(all).length === 0 ? metadata : { ...metadata, annotations: all },
    spec: {
      template: {
        spec: {
          domain: { devices: { interfaces: [{ name: 'mgmt', masquerade: {} }, ge0] } },
          networks: [
            { name: 'ge0', multus: { networkName: 'r1-h1' } },
            { name: 'mgmt', pod: {} },
          ],
        },
      },
    },
  }
}

/** As an API server does it; throws where it would refuse. */
function apply(vm: Json, patch: readonly PatchOperation[]): Json {
  const copy = structuredClone(vm)
  for (const operation of patch) {
    const keys = operation.path.slice(1).split('/')
    const words = keys.map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = words.pop() ?? ''
    const owner = words.reduce<Json>((found, key) => found[key] as Json, copy)
    if (operation.op === 'test') expect(owner[last]).to.deep.equal(operation.value)
    else if (operation.op === 'remove') {
      expect(owner).to.have.property(last)
      delete owner[last]
    } else {
      if (operation.op === 'replace') expect(owner).to.have.property(last)
      owner[last] = operation.value
    }
  }
  return copy
}

function read(vm: Json): Said {
  const { annotations } = vm['metadata'] as { annotations?: Record<string, string> }
  const spec = vm['spec'] as {
    template: { spec: { domain: { devices: { interfaces: { state?: string }[] } } } }
  }
  const state = spec.template.spec.domain.devices.interfaces[1]?.state
  const mark = annotations?.[MARK]
  return { ...(state === undefined ? {} : { state }), ...(mark === undefined ? {} : { mark }) }
}

describe('planCarrier()', () => {
  const rows: readonly {
    readonly name: string
    readonly vm: Said
    readonly hasCarrier: boolean
    /** The same as the VM when nothing is to be done. */
    readonly want?: Said
    readonly reason?: string
  }[] = [
    { name: 'a carrier that is there', vm: {}, hasCarrier: true },
    { name: 'a carrier that is there, said to be', vm: { state: 'up' }, hasCarrier: true },
    {
      name: 'a carrier that goes',
      vm: {},
      hasCarrier: false,
      want: { state: 'down', mark: 'down' },
    },
    {
      name: 'a carrier that goes where a user says up',
      vm: { state: 'up' },
      hasCarrier: false,
      want: { state: 'down', mark: 'down-was-up' },
    },
    { name: 'a carrier still away', vm: { state: 'down', mark: 'down' }, hasCarrier: false },
    {
      name: 'a carrier that is back',
      vm: { state: 'down', mark: 'down' },
      hasCarrier: true,
      want: {},
    },
    {
      name: 'a carrier that is back where a user said up',
      vm: { state: 'down', mark: 'down-was-up' },
      hasCarrier: true,
      want: { state: 'up' },
    },
    {
      name: "a user's own down, carrier away",
      vm: { state: 'down' },
      hasCarrier: false,
      reason: 'UserSet',
    },
    {
      name: "a user's own down, carrier there",
      vm: { state: 'down' },
      hasCarrier: true,
      reason: 'UserSet',
    },
    { name: 'a NIC on its way out', vm: { state: 'absent' }, hasCarrier: false, reason: 'UserSet' },
    {
      name: 'a NIC on its way out, carrier there',
      vm: { state: 'absent' },
      hasCarrier: true,
      reason: 'UserSet',
    },
    {
      name: 'a user who put our down up',
      vm: { state: 'up', mark: 'down' },
      hasCarrier: false,
      want: { state: 'up', mark: 'user' },
      reason: 'UserSet',
    },
    {
      name: 'a user who took our down away',
      vm: { mark: 'down-was-up' },
      hasCarrier: false,
      want: { mark: 'user' },
      reason: 'UserSet',
    },
    { name: 'the same, seen again', vm: { mark: 'user' }, hasCarrier: false, reason: 'UserSet' },
    {
      name: 'the same, carrier back',
      vm: { state: 'up', mark: 'user' },
      hasCarrier: true,
      want: { state: 'up' },
    },
    { name: 'the same, seen only then', vm: { mark: 'down' }, hasCarrier: true, want: {} },
    {
      name: 'a user who then set down, carrier back',
      vm: { state: 'down', mark: 'user' },
      hasCarrier: true,
      want: { state: 'down' },
      reason: 'UserSet',
    },
    {
      name: 'a mark that is none of ours',
      vm: { state: 'down', mark: 'x' },
      hasCarrier: false,
      reason: 'UserSet',
    },
    {
      name: 'a mark that is none of ours, carrier back',
      vm: { state: 'down', mark: 'x' },
      hasCarrier: true,
      want: { state: 'down' },
      reason: 'UserSet',
    },
  ]
  for (const annotations of [{ course: 'ccna' }, null])
    for (const { name, vm, hasCarrier, want = vm, reason = 'Shown' } of rows)
      it(`${name}${annotations === null ? ', no other annotations' : ''}`, () => {
        const before = newVm(vm, annotations)
        const { patch, shown } = planCarrier(before, LINK, hasCarrier)
        expect(shown.reason).to.equal(reason)
        expect(patch.length === 0).to.equal(want === vm)
        const after = apply(before, patch)
        expect(read(after)).to.deep.equal(want)
        // Nothing else has changed, and there is nothing more to do.
        expect(after['spec']).to.deep.equal(newVm(want)['spec'])
        const again = planCarrier(after, LINK, hasCarrier)
        expect(again.patch).to.deep.equal([])
        expect(again.shown.reason).to.equal(reason)
      })

  it('is done only to the VM that was looked at', () => {
    const { patch } = planCarrier(newVm(), LINK, false)
    expect(patch).to.deep.equal([
      { op: 'test', path: '/metadata/uid', value: 'u1' },
      { op: 'test', path: `${NICS}/1`, value: { name: 'ge0', binding: { name: 'l2wire' } } },
      { op: 'add', path: `${NICS}/1/state`, value: 'down' },
      { op: 'add', path: '/metadata/annotations/l2wire.dev~1carrier.ge0', value: 'down' },
    ])
    const [first] = planCarrier(newVm({}, null), LINK, false).patch
    expect(first).to.deep.equal({ op: 'test', path: '/metadata/resourceVersion', value: '7' })
  })

  it('a user keeps what he set, whatever the carrier does', () => {
    const state = fc.constantFrom('down', 'absent')
    fc.assert(
      fc.property(state, fc.array(fc.boolean(), { maxLength: 8 }), (set, carriers) => {
        for (const hasCarrier of carriers)
          expect(planCarrier(newVm({ state: set }), LINK, hasCarrier).patch).to.deep.equal([])
      }),
    )
  })

  it('leaves no trace once the carrier is back', () => {
    const state = fc.constantFrom(undefined, 'up')
    fc.assert(
      fc.property(state, fc.array(fc.boolean(), { maxLength: 8 }), (set, carriers) => {
        const vm = newVm(set === undefined ? {} : { state: set })
        const done = [...carriers, true].reduce(
          (now, hasCarrier) => apply(now, planCarrier(now, LINK, hasCarrier).patch),
          vm,
        )
        expect(done).to.deep.equal(vm)
      }),
    )
  })

  const unfit = [
    { name: 'no VM', vm: {}, link: LINK, reason: 'NoInterface' },
    { name: 'another pod link', vm: newVm(), link: 'eth1', reason: 'NoInterface' },
    { name: 'the pod network', vm: newVm(), link: 'eth0', reason: 'Shown' },
    {
      name: 'a network without interface',
      vm: withNic({ name: 'x' }),
      link: LINK,
      reason: 'NoInterface',
    },
    { name: 'SR-IOV', vm: withNic({ name: 'ge0', sriov: {} }), link: LINK, reason: 'Unsupported' },
    {
      name: 'passt',
      vm: withNic({ name: 'ge0', passtBinding: {} }),
      link: LINK,
      reason: 'Unsupported',
    },
  ]
  for (const { name, vm, link, reason } of unfit)
    it(`${name}: ${reason}`, () => {
      const { patch, shown } = planCarrier(vm, link, true)
      expect(patch).to.deep.equal([])
      expect(shown.reason).to.equal(reason)
    })
})

function withNic(nic: Json): Json {
  const networks = [{ name: 'ge0', multus: { networkName: 'r1-h1' } }]
  return { spec: { template: { spec: { domain: { devices: { interfaces: [nic] } }, networks } } } }
}

describe('toMarkKey()', () => {
  it('is a key that Kubernetes takes, for every name of an interface', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,253}$/)
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(toMarkKey(a)).to.match(/^l2wire\.dev\/carrier\.[A-Za-z0-9_-]{0,54}[A-Za-z0-9]$/)
        expect(toMarkKey(a) === toMarkKey(b)).to.equal(a === b)
      }),
    )
  })
})

describe('findInstance()', () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', namespace: 'lab', name: 'p', uid: 'u' }
  const instance = { ...pod, kind: 'VirtualMachineInstance', name: 'r1' }
  const rows = [
    { name: "a launcher's", end: { holder: 'vm/r1', subjects: [pod, instance] }, want: instance },
    {
      name: "a launcher's by another name",
      end: { holder: 'x', subjects: [pod, instance] },
      want: instance,
    },
    { name: 'one that only is called so', end: { holder: 'vm/r2' }, want: undefined },
    { name: "a pod's", end: { holder: 'pod/h1', subjects: [pod] }, want: undefined },
  ]
  for (const { name, end, want } of rows)
    it(name, () => {
      expect(findInstance(end)).to.equal(want)
    })
})

describe('findOwningVm()', () => {
  const vm = { kind: 'VirtualMachine', name: 'r1', uid: 'u1', controller: true }
  const rows = [
    {
      name: 'a VM',
      value: { metadata: { ownerReferences: [vm] } },
      want: { name: 'r1', uid: 'u1' },
    },
    { name: 'nobody', value: { metadata: {} }, want: undefined },
    { name: 'no instance', value: undefined, want: undefined },
    {
      name: 'a replica set',
      value: {
        metadata: { ownerReferences: [{ ...vm, kind: 'VirtualMachineInstanceReplicaSet' }] },
      },
      want: undefined,
    },
  ]
  for (const { name, value, want } of rows)
    it(`finds ${name}`, () => {
      expect(findOwningVm(value)).to.deep.equal(want)
    })
})
