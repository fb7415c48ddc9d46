import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  decodeAttachment,
  isOfVm,
  toClaim,
  toTapAttachment,
  toWireAttachment,
  upgradeTap,
} from '../../../core/attach/attachment.ts'
import type { CniArgs } from '../../../core/cni/env.ts'
import type { WireConfig } from '../../../core/cni/config.ts'
import { NO_DNS } from '../../../core/podnetwork/pod-dns.ts'
import { DecodeError } from '../../../core/errors.ts'
import { BIND_CONFIG, newTap } from '../samples.ts'

const NETNS = { path: '/run/netns/a', inode: 4711, bootId: 'b' }
const NODE = { name: 'n1', mtuBytes: 1450 }
const ARGS: CniArgs = {
  command: 'ADD',
  containerID: 'c1',
  netns: NETNS.path,
  ifname: 'eth1',
  args: '',
  path: '',
}
const CONFIG: WireConfig = {
  cniVersion: '1.1.0',
  name: 'r1-r2',
  type: 'l2wire',
  prevResult: undefined,
  unknownKeys: [],
  wire: 'r1-r2',
  mtuBytes: 1500,
  maxFrameBytes: 9216,
  vni: undefined,
  requestedMac: undefined,
  ipam: undefined,
  addresses: [],
  dns: undefined,
  end: undefined,
  offload: true,
  isTarget: false,
  carrier: undefined,
}

describe('toWireAttachment()', () => {
  const rows = [
    {
      name: 'names an unknown container by its id',
      args: '',
      ipam: undefined,
      addresses: [],
      dns: undefined,
      end: undefined,
      holder: 'container/c1',
      namespace: 'default',
    },
    {
      name: 'names a pod',
      args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h1',
      ipam: undefined,
      addresses: [],
      dns: undefined,
      end: undefined,
      holder: 'pod/h1',
      namespace: 'lab',
    },
    {
      name: 'goes by args.cni.end where it is given',
      args: 'K8S_POD_NAME=h1',
      end: 'vm/r1',
      holder: 'vm/r1',
      namespace: 'default',
    },
  ]
  for (const { name, args, end, holder, namespace } of rows)
    it(name, () => {
      const attachment = toWireAttachment({ ...ARGS, args }, { ...CONFIG, end }, NETNS, NODE)
      expect(attachment).to.include({ holder, phase: 'adding', kind: 'wire', node: 'n1' })
      expect(attachment.wire).to.deep.equal({ namespace, name: 'r1-r2' })
      expect(toClaim(attachment, '127.0.0.1')).to.deep.equal({
        holder,
        containerID: 'c1',
        ifname: 'eth1',
        node: 'n1',
        address: '127.0.0.1',
        mtuBytes: attachment.mtuBytes,
        pod: attachment.pod,
        isUp: true,
      })
    })

  it('keeps the MAC of an end across sandboxes, and takes a requested one', () => {
    const args = 'K8S_POD_NAME=h1'
    const first = toWireAttachment({ ...ARGS, args }, CONFIG, NETNS, NODE)
    const second = toWireAttachment({ ...ARGS, args, containerID: 'c2' }, CONFIG, NETNS, {
      ...NODE,
      name: 'n2',
    })
    expect(second.mac).to.equal(first.mac)
    expect(second.hostDevice).to.not.equal(first.hostDevice)
    const asked = { ...CONFIG, requestedMac: '02:00:00:00:00:01' }
    expect(toWireAttachment(ARGS, asked, NETNS, NODE).mac).to.equal('02:00:00:00:00:01')
  })
  it('knows an IPAM plugin that goes on asking', () => {
    for (const [ipam, isRenewed] of [
      ['dhcp', true],
      ['host-local', undefined],
    ] as const)
      expect(toWireAttachment(ARGS, { ...CONFIG, ipam }, NETNS, NODE).isRenewed).to.equal(isRenewed)
  })
})

describe('isOfVm()', () => {
  const vmi = {
    apiVersion: 'v1',
    kind: 'VirtualMachineInstance',
    namespace: 'n',
    name: 'r',
    uid: 'u',
  }
  for (const [ifname, subjects, want] of [
    ['pod16477688c0e', undefined, true],
    ['net1', [vmi], true],
    ['net1', [{ ...vmi, kind: 'Pod' }], false],
    ['eth1', undefined, false],
    // A masquerade binding's stack speaks there.
    ['eth0', [vmi], false],
  ] as const)
    it(`${want ? 'takes' : 'does not take'} ${ifname} of ${subjects?.[0].kind ?? 'nobody known'} for one`, () => {
      const { subjects: _, ...end } = toWireAttachment({ ...ARGS, ifname }, CONFIG, NETNS, NODE)
      expect(isOfVm(subjects === undefined ? end : { ...end, subjects })).to.equal(want)
    })
})

describe('upgradeTap()', () => {
  const cable = toWireAttachment(ARGS, CONFIG, NETNS, NODE)
  it('makes a tap of 0.3.0 on a cable mute, once', () => {
    const made = upgradeTap(newTap(), cable)
    expect(made).to.deep.equal(newTap({ isMuted: true, podLinkMtuBytes: cable.maxFrameBytes }))
    const told = newTap({ isMuted: true, podLinkMtuBytes: 1500 })
    expect(upgradeTap(told, cable)).to.equal(told)
  })
  it("leaves one on another plugin's link as it is", () => {
    const tap = newTap()
    expect(upgradeTap(tap, undefined)).to.equal(tap)
    expect(upgradeTap(tap, newTap())).to.equal(tap)
  })
})

describe('decodeAttachment()', () => {
  const wire = toWireAttachment(ARGS, CONFIG, NETNS, NODE)
  const tap = toTapAttachment(
    ARGS,
    BIND_CONFIG,
    NETNS,
    { podLink: 'pod16477688c0e', mtuBytes: 1500, podLinkMtuBytes: 9216, vmNetwork: undefined },
    { hostname: undefined, dns: NO_DNS, mac: undefined, isMultiQueue: false },
  )

  it('reads what was written', () => {
    const whole = toWireAttachment(ARGS, { ...CONFIG, offload: false }, NETNS, NODE)
    expect(whole).to.include({ offload: false })
    expect(wire).to.not.have.property('offload')
    const told = toWireAttachment(ARGS, { ...CONFIG, carrier: 'vm' }, NETNS, NODE)
    expect(told).to.include({ carrier: 'vm' })
    expect(wire).to.not.have.property('carrier')
    for (const attachment of [wire, told, tap])
      expect(decodeAttachment(JSON.parse(JSON.stringify(attachment)), 'x')).to.deep.equal(
        attachment,
      )
    expect(tap.tap).to.equal('tap16477688c0e')
  })

  const bad = [
    { name: 'no document', value: 7, word: 'JSON object' },
    { name: 'a newer version', value: { ...wire, version: 2 }, word: 'version' },
    { name: 'an unknown kind', value: { ...wire, kind: 'fiber' }, word: 'kind' },
    { name: 'a missing holder', value: { ...wire, holder: undefined }, word: 'holder' },
    { name: 'a missing tap', value: { ...tap, tap: 5 }, word: 'tap' },
    { name: 'an mtu that is text', value: { ...wire, mtuBytes: '1' }, word: 'mtuBytes' },
    {
      name: 'a netns without inode',
      value: { ...tap, netns: { path: '/x', bootId: 'b' } },
      word: 'inode',
    },
    { name: 'a wire without name', value: { ...wire, wire: { namespace: 'a' } }, word: 'name' },
    { name: 'an unknown offload', value: { ...wire, offload: true }, word: 'offload' },
    { name: 'an unknown carrier', value: { ...wire, carrier: 'pod' }, word: 'carrier' },
    { name: 'a missing netns', value: { ...wire, netns: undefined }, word: 'netns' },
    { name: 'a missing wire', value: { ...wire, wire: undefined }, word: 'wire' },
  ]
  for (const { name, value, word } of bad)
    it(`refuses ${name}`, () => {
      expect(() => decodeAttachment(value, 'file')).to.throw(DecodeError, word)
    })
})
