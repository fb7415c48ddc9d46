import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../../core/steps/argv.ts'
import type { Attachment } from '../../../core/attach/attachment.ts'
import { DecodeError } from '../../../core/errors.ts'
import {
  decodeMacvtapId,
  leadsTo,
  listIndices,
  listOtherMacvtaps,
  parseMacvtapMajor,
  pickFree,
  pickOfPod,
  preferDevices,
  toBirthName,
  toDeviceFile,
  toMacvtapFolder,
  type PodDevices,
} from '../../../core/attach/macvtap.ts'
import {
  isMacvtap,
  planUnmacvtap,
  wantVmDevices,
  type MacvtapAttachment,
} from '../../../core/attach/macvtap-steps.ts'
import { catchRefusal, newTap } from '../samples.ts'

const TAP = newTap({
  netns: { path: '/run/netns/p', inode: 4_026_531_999, bootId: 'b' },
  network: 'l2wire-bind-macvtap',
  podLink: 'pod6446d58d6df',
  tap: 'tap6446d58d6df',
})
const MACVTAP: MacvtapAttachment = { ...TAP, attach: 'macvtap', index: 70_000_001 }

function given(...deviceIds: string[]): PodDevices {
  return { resourceName: 'l2wire.dev/macvtap', deviceIds }
}

function render(steps: Parameters<typeof renderBatches>[0]): readonly string[] {
  return renderBatches(steps, {
    classifier: 'matchall',
    hostNetns: '/proc/1/ns/net',
  }).flatMap(({ tool, netns, lines }) => lines.map((line) => `${netns}: ${tool} ${line}`))
}

describe('macvtap devices', () => {
  it('are numbers from 70000001 on, whatever their count', () => {
    expect(listIndices(3)).to.deep.equal([70_000_001, 70_000_002, 70_000_003])
    for (const id of listIndices(3).map(String))
      expect(decodeMacvtapId(id, 'deviceID', 3)).to.equal(Number(id))
    expect(toDeviceFile(70_000_001)).to.equal('tap70000001')
    expect(toMacvtapFolder('/run/l2wire/agent.sock')).to.equal('/run/l2wire/macvtap')
  })

  for (const id of [
    '70000000',
    '70000004',
    '70000001 ',
    '7e7',
    '0000:03:02.0',
    '',
    undefined,
    70_000_001,
  ])
    it(`${JSON.stringify(id)} is none of three`, () => {
      expect(() => decodeMacvtapId(id, 'deviceID', 3))
        .to.throw(DecodeError)
        .with.property('message')
        .that.includes('deviceID')
        .and.includes('from 70000001 to 70000003')
    })

  const devices: readonly { name: string; used: number[]; of: PodDevices[]; picked: number }[] = [
    { name: 'the only one', used: [], of: [given('70000007')], picked: 70_000_007 },
    {
      name: 'the lowest of several, in whatever order they are told',
      used: [],
      of: [given('70000009'), given('70000012', '70000007')],
      picked: 70_000_007,
    },
    {
      name: "the next one that no other NIC has, other plugins' left out",
      used: [70_000_007],
      of: [
        { resourceName: 'devices.kubevirt.io/tun', deviceIds: ['tun2'] },
        given('70000007', '70000009'),
      ],
      picked: 70_000_009,
    },
  ]
  for (const { name, used, of, picked } of devices)
    it(`a NIC gets ${name}`, () => {
      expect(pickOfPod(of, new Set(used), 20)).to.equal(picked)
    })

  it('a NIC for which the pod has none is refused', () => {
    expect(catchRefusal(() => pickOfPod([], new Set(), 20)).code).to.equal(113)
    const one = [given('70000007')]
    expect(catchRefusal(() => pickOfPod(one, new Set([70_000_007]), 20)).code).to.equal(113)
  })

  it('without a kubelet it gets the first that is free on the node', () => {
    expect(pickFree(new Set(), 2)).to.equal(70_000_001)
    expect(pickFree(new Set([70_000_001]), 2)).to.equal(70_000_002)
    expect(catchRefusal(() => pickFree(new Set(listIndices(2)), 2)).code).to.equal(113)
  })

  it('a kubelet had best give those whose last sandbox has gone', () => {
    const available = ['70000001', '70000002', '70000003']
    const used = new Set([70_000_001])
    expect(preferDevices(available, [], 2, used)).to.deep.equal(['70000002', '70000003'])
    expect(preferDevices(available, ['70000001'], 2, used)).to.deep.equal(['70000001', '70000002'])
    expect(preferDevices(available, [], 3, used)).to.have.members(available)
    expect(preferDevices(available, [], 0, used)).to.deep.equal([])
  })

  it('taps have none', () => {
    const tap: Attachment = { ...TAP, ifname: 'net2' }
    const other: Attachment = { ...MACVTAP, containerID: 'c2' }
    expect(listOtherMacvtaps([tap, MACVTAP, other], MACVTAP)).to.deep.equal([other])
    expect(isMacvtap(TAP)).to.equal(false)
    expect(isMacvtap(MACVTAP)).to.equal(true)
  })
})

describe("a macvtap's device number", () => {
  it('has the major number that the kernel lists', () => {
    expect(parseMacvtapMajor('Character devices:\n  1 mem\n246 macvtap\n247 ipvtap\n')).to.equal(
      246,
    )
    expect(parseMacvtapMajor('  1 mem\n247 ipvtap\n')).to.equal(undefined)
  })

  it('is told by link and index together', () => {
    const target = '../../devices/virtual/net/tap0/macvtap/tap70000001'
    expect(leadsTo(target, 'tap0', 70_000_001)).to.equal(true)
    expect(leadsTo(target, 'tap0', 70_000_002)).to.equal(false)
    expect(leadsTo(target, 'ap0', 70_000_001)).to.equal(false)
    expect(leadsTo('', 'tap0', 70_000_001)).to.equal(false)
    expect(leadsTo(target, undefined, 70_000_001)).to.equal(true)
    expect(leadsTo(target, undefined, 70_000_002)).to.equal(false)
    expect(leadsTo('', undefined, 70_000_001)).to.equal(false)
  })

  it('is told by a name that no other namespace has, while it is made', () => {
    const name = toBirthName(MACVTAP)
    expect(name).to.match(/^lm[0-9a-f]{13}$/)
    const others: readonly MacvtapAttachment[] = [
      { ...MACVTAP, ifname: 'net2' },
      { ...MACVTAP, containerID: 'c2' },
      { ...MACVTAP, netns: { ...MACVTAP.netns, inode: 1 } },
    ]
    for (const other of others) expect(toBirthName(other)).to.not.equal(name)
  })
})

describe('a plan for a macvtap', () => {
  const at = '/run/netns/p'
  const born = toBirthName(MACVTAP)

  const cabled: MacvtapAttachment = { ...MACVTAP, isMuted: true, podLinkMtuBytes: 9216 }
  const LET =
    'egress pref 1 protocol all handle ::1 u32 match u32 0 0 at -12 indev tap6446d58d6df flowid 1:1'
  const MUTE = 'egress pref 2 protocol all handle 1 bpf da bytecode "1,6 0 0 2,"'

  it('makes it with its index, mute, silent and promiscuous before it goes up', () => {
    expect(render(wantVmDevices(cabled))).to.deep.equal([
      `${at}: ip link add link pod6446d58d6df name ${born} index 70000001 type macvtap mode passthru`,
      `${at}: ip link set dev ${born} name tap6446d58d6df`,
      `${at}: tc qdisc replace dev tap6446d58d6df clsact`,
      `${at}: tc filter replace dev tap6446d58d6df egress pref 1 protocol all handle 1 ` +
        'matchall action mirred egress redirect dev pod6446d58d6df',
      `${at}: tc qdisc replace dev pod6446d58d6df clsact`,
      `${at}: tc filter replace dev pod6446d58d6df ${LET}`,
      `${at}: tc qdisc replace dev pod6446d58d6df clsact`,
      `${at}: tc filter replace dev pod6446d58d6df ${MUTE}`,
      `${at}: tc qdisc replace dev tap6446d58d6df root noqueue`,
      `${at}: tc qdisc replace dev pod6446d58d6df clsact`,
      `${at}: tc filter replace dev pod6446d58d6df ingress pref 1 protocol all handle 1 ` +
        'matchall action mirred ingress redirect dev tap6446d58d6df',
      `${at}: ip link set dev pod6446d58d6df arp off multicast off`,
      `${at}: ip link set dev pod6446d58d6df mtu 9216`,
      `${at}: ip link set dev pod6446d58d6df addrgenmode none`,
      `${at}: ip address flush dev pod6446d58d6df to fe80::/10`,
      `${at}: ip link set dev tap6446d58d6df arp off multicast off`,
      `${at}: ip link set dev tap6446d58d6df mtu 1500`,
      `${at}: ip link set dev tap6446d58d6df addrgenmode none`,
      `${at}: ip address flush dev tap6446d58d6df to fe80::/10`,
      `${at}: ip link set dev tap6446d58d6df promisc on alias "l2wire macvtap of pod6446d58d6df"`,
      `${at}: ip link set dev pod6446d58d6df up`,
      `${at}: ip link set dev tap6446d58d6df up`,
    ])
  })

  it('leaves the MTU of a pod link that is not ours, and the words of one that nobody muted', () => {
    const lines = render(wantVmDevices(MACVTAP))
    expect(lines.filter((line) => line.includes('mtu'))).to.deep.equal([
      `${at}: ip link set dev tap6446d58d6df mtu 1500`,
    ])
    expect(lines.join('\n')).to.not.include('alias')
  })

  it('lets the VM alone speak through a mute pod link', () => {
    const muted: MacvtapAttachment = { ...MACVTAP, isMuted: true }
    const lines = render(wantVmDevices(muted))
    expect(lines).to.include.members([
      `${at}: tc filter replace dev pod6446d58d6df egress pref 1 protocol all handle ::1 ` +
        'u32 match u32 0 0 at -12 indev tap6446d58d6df flowid 1:1',
      `${at}: tc filter replace dev tap6446d58d6df egress pref 1 protocol all handle 1 ` +
        'matchall action mirred egress redirect dev pod6446d58d6df',
    ])
    expect(lines.filter((line) => line.includes('dev pod6446d58d6df addrgenmode'))).to.deep.equal(
      [],
    )
  })

  it('takes it away, finished or not', () => {
    expect(render(planUnmacvtap(MACVTAP))).to.deep.equal([
      `${at}: tc filter del dev pod6446d58d6df ingress pref 1`,
      `${at}: ip link del dev tap6446d58d6df`,
      `${at}: ip link del dev ${born}`,
    ])
  })
})
