import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../core/argv.ts'
import type { Attachment } from '../../core/attachment.ts'
import { DecodeError } from '../../core/errors.ts'
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
} from '../../core/macvtap.ts'
import {
  isMacvtap,
  listMacvtapTargets,
  planMacvtap,
  planMacvtapBirth,
  planUnmacvtap,
  type MacvtapAttachment,
} from '../../core/plan-macvtap.ts'
import { catchRefusal, newTap } from './samples.ts'

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
    hasIpv6: true,
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

  it('makes it with its index, and silent and promiscuous before it goes up', () => {
    expect(
      render([
        ...planMacvtapBirth(MACVTAP),
        ...planMacvtap(MACVTAP, { maxFrameBytes: 9216, there: new Set() }),
      ]),
    ).to.deep.equal([
      `${at}: ip link add link pod6446d58d6df name ${born} index 70000001 type macvtap mode passthru`,
      `${at}: ip link set dev ${born} name tap6446d58d6df`,
      `${at}: ip link set dev pod6446d58d6df addrgenmode none arp off multicast off`,
      `${at}: ip link set dev pod6446d58d6df mtu 9216`,
      `${at}: ip link set dev tap6446d58d6df addrgenmode none arp off multicast off`,
      `${at}: ip link set dev tap6446d58d6df mtu 1500 promisc on alias "l2wire macvtap of pod6446d58d6df"`,
      `${at}: tc qdisc replace dev tap6446d58d6df root noqueue`,
      `${at}: tc qdisc replace dev pod6446d58d6df clsact`,
      `${at}: tc filter replace dev pod6446d58d6df ingress pref 1 protocol all handle 1 ` +
        'matchall action mirred ingress redirect dev tap6446d58d6df',
      `${at}: ip link set dev pod6446d58d6df up`,
      `${at}: ip link set dev tap6446d58d6df up`,
    ])
    expect(listMacvtapTargets(MACVTAP)).to.deep.equal([
      { dev: 'pod6446d58d6df', hook: 'ingress', targets: ['tap6446d58d6df'] },
      { dev: 'tap6446d58d6df', hook: 'egress', targets: [] },
    ])
  })

  it('keeps one that is there, and the MTU of a pod link that is not ours', () => {
    const lines = render(planMacvtap(MACVTAP, { there: new Set([MACVTAP.tap]) }))
    expect(lines.filter((line) => line.includes(' name '))).to.deep.equal([])
    expect(lines.filter((line) => line.includes('mtu'))).to.deep.equal([
      `${at}: ip link set dev tap6446d58d6df mtu 1500 promisc on`,
    ])
  })

  it('lets the VM alone speak through a mute pod link', () => {
    const muted: MacvtapAttachment = { ...MACVTAP, isMuted: true }
    const steps = [...planMacvtapBirth(muted), ...planMacvtap(muted, { there: new Set() })]
    const lines = render(steps)
    // Before there is a device that would send.
    expect(lines.findIndex((line) => line.includes('egress pref 2'))).to.be.lessThan(
      lines.findIndex((line) => line.includes('macvtap')),
    )
    expect(lines).to.include.members([
      `${at}: tc filter replace dev pod6446d58d6df egress pref 1 protocol all handle 800::1 ` +
        'u32 match u32 0 0 at -12 indev tap6446d58d6df flowid 1:1',
      `${at}: tc filter replace dev tap6446d58d6df egress pref 1 protocol all handle 1 ` +
        'matchall action mirred egress redirect dev pod6446d58d6df',
    ])
    expect(lines.filter((line) => line.includes('dev pod6446d58d6df addrgenmode'))).to.deep.equal(
      [],
    )
    expect(listMacvtapTargets(muted).at(-1)?.targets).to.deep.equal(['pod6446d58d6df'])
  })

  it('takes it away, finished or not', () => {
    expect(render(planUnmacvtap(MACVTAP))).to.deep.equal([
      `${at}: tc filter del dev pod6446d58d6df ingress pref 1`,
      `${at}: ip link del dev tap6446d58d6df`,
      `${at}: ip link del dev ${born}`,
    ])
  })
})
