import { expect } from 'chai'
import { describe, it } from 'mocha'

import { BIRTH_MTU, renderBatches } from '../../../core/steps/argv.ts'
import { toWireAttachment, type WireAttachment } from '../../../core/attach/attachment.ts'
import {
  planDetach,
  planEnd,
  planUnplug,
  toAlias,
  wantWire,
  type WireGoal,
} from '../../../core/wire/plan.ts'
import { planUntap, wantTap } from '../../../core/attach/tap.ts'
import { toHookKey, type Observation } from '../../../core/observe/observation.ts'
import { diff } from '../../../core/steps/diff.ts'
import type { Step } from '../../../core/steps/step.ts'
import type { Tunnel } from '../../../core/wire/tunnel.ts'
import { newObservation, newTap, type SampleLink } from '../samples.ts'

function newEnd(containerID: string): WireAttachment {
  return toWireAttachment(
    {
      command: 'ADD',
      containerID,
      netns: `/run/netns/${containerID}`,
      ifname: 'eth1',
      args: '',
      path: '',
    },
    {
      cniVersion: '1.1.0',
      name: 'w',
      type: 'l2wire',
      prevResult: undefined,
      unknownKeys: [],
      wire: 'w',
      mtuBytes: 1500,
      maxFrameBytes: 9216,
      vni: undefined,
      requestedMac: `02:00:00:00:00:0${containerID.slice(1)}`,
      ipam: undefined,
      addresses: [],
      dns: undefined,
      end: undefined,
      offload: true,
      isTarget: false,
      carrier: undefined,
    },
    { path: `/run/netns/${containerID}`, inode: 1, bootId: 'b' },
    { name: 'n1', mtuBytes: 1500 },
  )
}

const A = newEnd('c1')
const B = newEnd('c2')
const TAP = newTap({ podLink: 'pod1', tap: 'tap1' })

const newTunnel = (device: string): Tunnel => ({
  device,
  wireKey: 'default/w',
  vni: 7,
  local: '192.0.2.1',
  remote: '192.0.2.2',
  others: [],
  port: 14789,
  mtuBytes: 9216,
})

function toSample(end: WireAttachment, isUp: boolean, targets?: readonly string[]): SampleLink {
  return { name: end.hostDevice, isUp, hasCarrier: isUp, alias: toAlias(end), targets }
}

function observe(
  ends: readonly WireAttachment[],
  isUp: boolean,
  targets?: readonly string[],
): Observation {
  return newObservation(ends.map((end) => toSample(end, isUp, targets)))
}

/** Two ends joined, each leading to the other. */
function observeJoined(a: WireAttachment, b: WireAttachment, isUp = true): Observation {
  return unite(observe([a], isUp, [b.hostDevice]), observe([b], isUp, [a.hostDevice]))
}

function unite(...all: readonly Observation[]): Observation {
  return {
    links: new Map(all.flatMap(({ links }) => [...links])),
    filters: new Map(all.flatMap(({ filters }) => [...filters])),
  }
}

function toGoal(ends: readonly WireAttachment[], more: Partial<WireGoal> = {}): WireGoal {
  const isJoined = ends.length === 2
  return {
    ends: ends.map((end) => ({ end, hasCarrier: isJoined })),
    isJoined,
    targets: [],
    ready: [],
    detached: [],
    ...more,
  }
}

/** What is left to be done. */
function leave(goal: WireGoal, seen: Observation): readonly Step[] {
  return diff(wantWire(goal), seen, 'bpf')
}

function renderLeft(goal: WireGoal, seen: Observation): readonly string[] {
  return render(leave(goal, seen))
}

/** The whole change as text, one line per command, as the kernel will be told. */
function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, {
    classifier: 'bpf',
    hostNetns: '/proc/1/ns/net',
  }).flatMap((batch) =>
    batch.lines.map((line) => `${batch.netns ?? 'host'}: ${batch.tool} ${line}`),
  )
}

const MATCH =
  'ingress pref 1 protocol all handle 1 bpf bytecode "1,6 0 0 4294967295," action mirred egress redirect dev'

describe('planEnd()', () => {
  it('makes an end that is joined to nothing', () => {
    expect(render(planEnd(A, new Map(), false))).to.deep.equal([
      `/run/netns/c1: ip link add name eth1 address 02:00:00:00:00:01 mtu 1500 type veth peer name ${A.hostDevice} mtu ${BIRTH_MTU} arp off multicast off netns /proc/1/ns/net`,
      '/run/netns/c1: ip link set dev eth1 up',
      `host: tc qdisc replace dev ${A.hostDevice} clsact`,
    ])
  })

  it('makes one that is a VM’s silent before it goes up', () => {
    expect(render(planEnd(A, new Map(), true)).slice(0, 3)).to.deep.equal([
      `/run/netns/c1: ip link add name eth1 address 02:00:00:00:00:01 mtu 1500 arp off multicast off type veth peer name ${A.hostDevice} mtu ${BIRTH_MTU} arp off multicast off netns /proc/1/ns/net`,
      '/run/netns/c1: ip link set dev eth1 addrgenmode none',
      '/run/netns/c1: ip link set dev eth1 up',
    ])
  })

  it('clears away what a failed attempt left under its name', () => {
    expect(render(planEnd(A, observe([A], false).links, false))[0]).to.equal(
      `host: ip link del dev ${A.hostDevice}`,
    )
  })
})

/** As an end is when it has just been made: no alias yet. */
function observeNew({ hostDevice: name }: WireAttachment): Observation {
  return newObservation([
    { name, isUp: false, hasCarrier: false, mtuBytes: BIRTH_MTU, targets: [] },
  ])
}

describe('wantWire()', () => {
  it('makes the first end silent, and leaves it without carrier', () => {
    expect(renderLeft(toGoal([A]), observeNew(A))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} arp off multicast off`,
      `host: ip link set dev ${A.hostDevice} mtu 9216`,
      `host: ip link set dev ${A.hostDevice} addrgenmode none`,
      `host: ip address flush dev ${A.hostDevice} to fe80::/10`,
      `host: ip link set dev ${A.hostDevice} alias "l2wire default/w container/c1 eth1"`,
    ])
  })

  it('joins the second end to the first, redirects before carrier', () => {
    const observed = unite(observe([A], false, []), observeNew(B))
    expect(renderLeft(toGoal([A, B]), observed)).to.deep.equal([
      `host: tc qdisc replace dev ${A.hostDevice} clsact`,
      `host: tc filter replace dev ${A.hostDevice} ${MATCH} ${B.hostDevice}`,
      `host: tc qdisc replace dev ${B.hostDevice} clsact`,
      `host: tc filter replace dev ${B.hostDevice} ${MATCH} ${A.hostDevice}`,
      `host: ip link set dev ${A.hostDevice} up`,
      `host: ip link set dev ${B.hostDevice} arp off multicast off`,
      `host: ip link set dev ${B.hostDevice} mtu 9216`,
      `host: ip link set dev ${B.hostDevice} addrgenmode none`,
      `host: ip address flush dev ${B.hostDevice} to fe80::/10`,
      `host: ip link set dev ${B.hostDevice} alias "l2wire default/w container/c2 eth1" up`,
    ])
  })

  it('lets out of a wire without IPv6 only what comes from the far end', () => {
    const [low, other] = [A, B].map((end) => ({ ...end, maxFrameBytes: 1279 }))
    if (low === undefined || other === undefined) throw new Error('Two ends are expected')
    const seen = unite(observe([low], false, []), observeNew(other))
    const egress = [low, other].map(({ hostDevice: dev }) => toHookKey({ dev, hook: 'egress' }))
    const observed = {
      ...seen,
      filters: new Map([...seen.filters, ...egress.map((hook) => [hook, []] as const)]),
    }
    const drop = 'egress pref 2 protocol all handle 1 bpf da bytecode "1,6 0 0 2,"'
    const lines = renderLeft(toGoal([low, other]), observed)
    for (const [at, from] of [
      [low, other],
      [other, low],
    ]) {
      const mute = lines.indexOf(`host: tc filter replace dev ${at?.hostDevice} ${drop}`)
      const passes = lines.findIndex((line) =>
        line.includes(`dev ${at?.hostDevice} egress pref 1 protocol all handle ::1 u32`),
      )
      expect(lines[passes]).to.include(`indev ${from?.hostDevice} `)
      expect(passes).to.be.lessThan(mute)
      expect(mute).to.be.lessThan(lines.indexOf(`host: ip link set dev ${low.hostDevice} up`))
    }
  })

  it('costs three processes for the second end', () => {
    const options = { classifier: 'bpf', hostNetns: '/proc/1/ns/net' } as const
    const observed = unite(observe([A], false, []), observeNew(B))
    const steps = [...planEnd(B, new Map(), false), ...leave(toGoal([A, B]), observed)]
    expect(renderBatches(steps, options)).to.have.length(3)
  })

  const noSteps: readonly { name: string; goal: WireGoal; observed: Observation }[] = [
    {
      name: 'two ends that lead to each other',
      goal: toGoal([A, B]),
      observed: observeJoined(A, B),
    },
    { name: 'an end alone', goal: toGoal([A]), observed: observe([A], false, []) },
    {
      name: 'an end that lost its place',
      goal: toGoal([], { detached: [A] }),
      observed: observe([A], false, []),
    },
    {
      name: 'an end whose devices are gone',
      goal: toGoal([]),
      observed: newObservation([]),
    },
    {
      name: 'a tunnel that is closed already',
      goal: toGoal([A], { closing: 'lx1' }),
      observed: observe([A], false, []),
    },
  ]
  for (const { name, goal, observed } of noSteps)
    it(`does nothing for ${name}`, () => {
      expect(renderLeft(goal, observed)).to.deep.equal([])
    })

  it('does nothing about redirects that nobody looked at', () => {
    expect(leave(toGoal([A, B]), observe([A, B], true))).to.deep.equal([])
  })

  for (const [what, more, line] of [
    ['MTU', { mtuBytes: 1400 }, 'mtu 9216'],
    ['ARP', { flags: new Set(['UP']) }, 'arp off multicast off'],
    ['multicast', { flags: new Set(['UP', 'NOARP', 'MULTICAST']) }, 'arp off multicast off'],
    ['address generation', { genMode: 'eui64' }, 'addrgenmode none'],
    ['alias', { alias: 'mine' }, `alias "${toAlias(A)}"`],
  ] as const)
    it(`sets what is other than it should be: ${what}`, () => {
      const link = { ...toSample(A, true, [B.hostDevice]), ...more }
      const seen = unite(newObservation([link]), observe([B], true, [A.hostDevice]))
      const left = renderLeft(toGoal([A, B]), seen)
      expect(left).to.include(`host: ip link set dev ${A.hostDevice} ${line}`)
      expect(left.join('\n')).not.to.match(/ (up|down)$|filter/m)
    })

  it('takes an address away that makes a host end speak', () => {
    const seen = { ...observeJoined(A, B), addresses: new Map([[B.hostDevice, ['fe80::1/64']]]) }
    expect(renderLeft(toGoal([A, B]), seen)).to.include(
      `host: ip address flush dev ${B.hostDevice} to fe80::/10`,
    )
  })

  it('mends just the redirect that is wrong', () => {
    const observed = unite(observeJoined(A, B), observe([B], true, ['*']))
    expect(renderLeft(toGoal([A, B]), observed)).to.deep.equal([
      `host: tc qdisc replace dev ${B.hostDevice} clsact`,
      `host: tc filter replace dev ${B.hostDevice} ${MATCH} ${A.hostDevice}`,
    ])
  })

  it('shows the far end an owner that set its interface down, and keeps them joined', () => {
    const goal = toGoal([A, B], {
      ends: [
        { end: A, hasCarrier: true },
        { end: B, hasCarrier: false },
      ],
    })
    expect(renderLeft(goal, observeJoined(A, B))).to.deep.equal([
      `host: ip link set dev ${B.hostDevice} down`,
    ])
  })

  it('takes the cable out: carriers first, then the way', () => {
    const goal = toGoal([A, B], {
      ends: [A, B].map((end) => ({ end, hasCarrier: false })),
      isJoined: false,
    })
    expect(renderLeft(goal, observeJoined(A, B))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} down`,
      `host: ip link set dev ${B.hostDevice} down`,
      `host: tc filter del dev ${A.hostDevice} ingress pref 1`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1`,
    ])
  })

  it('names an end in words that lost its place before it was joined', () => {
    expect(renderLeft(toGoal([], { detached: [A] }), observeNew(A))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} arp off multicast off`,
      `host: ip link set dev ${A.hostDevice} mtu 9216`,
      `host: ip link set dev ${A.hostDevice} addrgenmode none`,
      `host: ip address flush dev ${A.hostDevice} to fe80::/10`,
      `host: ip link set dev ${A.hostDevice} alias "l2wire default/w container/c1 eth1"`,
    ])
  })

  it('lets a newer sandbox in before the older one is taken off, whose owner sees the cable go', () => {
    const C = newEnd('c3')
    const goal = toGoal([A, C], { detached: [B] })
    const observed = unite(observeJoined(A, B), observeNew(C))
    expect(renderLeft(goal, observed).slice(-3)).to.deep.equal([
      `host: ip link set dev ${C.hostDevice} alias "l2wire default/w container/c3 eth1" up`,
      `host: ip link set dev ${B.hostDevice} down`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1`,
    ])
  })

  describe('a far end that moves', () => {
    const tunnel = newTunnel('lx1')
    const link: SampleLink = {
      name: 'lx1',
      alias: 'l2wire default/w vni 7 port 14789 local 192.0.2.1 remote 192.0.2.2',
      vxlan: { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 },
      targets: [A.hostDevice],
    }
    const across = unite(observe([A], true, ['lx1']), newObservation([link]))

    it('to another node: the surviving end is led into the tunnel, and never goes down', () => {
      const goal = toGoal([A], {
        ends: [{ end: A, hasCarrier: true }],
        isJoined: true,
        tunnel,
        detached: [B],
      })
      const lines = renderLeft(goal, observeJoined(A, B))
      expect(lines).to.include(`host: tc filter replace dev ${A.hostDevice} ${MATCH} lx1`)
      expect(lines.join('\n')).not.to.include(`${A.hostDevice} down`)
      expect(leave(goal, unite(across, observe([B], false, [])))).to.deep.equal([])
    })

    it('here: the tunnel goes once the surviving end leads elsewhere', () => {
      const goal = toGoal([A, B], { closing: 'lx1' })
      const lines = renderLeft(goal, unite(across, observeNew(B)))
      expect(lines.join('\n')).not.to.include(`${A.hostDevice} down`)
      expect(lines.indexOf('host: ip link del dev lx1')).to.be.greaterThan(
        lines.indexOf(`host: tc filter replace dev ${A.hostDevice} ${MATCH} ${B.hostDevice}`),
      )
    })

    it('with another VNI: what is made anew is joined and set up again, whatever the old one had', () => {
      const goal = toGoal([A], {
        ends: [{ end: A, hasCarrier: true }],
        isJoined: true,
        tunnel: { ...tunnel, vni: 8 },
      })
      const lines = renderLeft(goal, { ...across, peers: new Set(['192.0.2.2 7']) })
      expect(lines).to.include.members([
        `host: tc filter replace dev lx1 ${MATCH} ${A.hostDevice}`,
        `host: tc filter replace dev ${A.hostDevice} ${MATCH} lx1`,
        'host: ip link set dev lx1 up',
      ])
    })

    it('whose permission somebody took away is let in again', () => {
      const goal = toGoal([A], { ends: [{ end: A, hasCarrier: true }], isJoined: true, tunnel })
      expect(renderLeft(goal, { ...across, peers: new Set(['192.0.2.2 8']) })).to.deep.equal([
        'host: nft add element inet l2wire peers4 { 192.0.2.2 . 7 }',
      ])
      expect(renderLeft(goal, { ...across, peers: new Set(['192.0.2.2 7']) })).to.deep.equal([])
    })
  })
})

describe('planUnplug()', () => {
  it('takes carrier from the end that stays, then the redirect, then the devices', () => {
    expect(render(planUnplug(A, [B], observe([A, B], true).links))).to.deep.equal([
      `host: ip link set dev ${B.hostDevice} down`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1`,
      `host: ip link del dev ${A.hostDevice}`,
    ])
  })
  it('does nothing where nothing is left', () => {
    expect(planUnplug(A, [B], new Map())).to.deep.equal([])
  })
})

describe('wantTap()', () => {
  const LET = 'egress pref 1 protocol all handle ::1 u32 match u32 0 0 at -12 indev tap1'
  const MUTE = 'egress pref 2 protocol all handle 1 bpf da bytecode "1,6 0 0 2,"'
  const CABLED = { ...TAP, isMuted: true, podLinkMtuBytes: 9216 } as const

  it('joins a tap of QEMU to its pod link, mute before joined, silent before up', () => {
    expect(render(wantTap(CABLED))).to.deep.equal([
      '/run/netns/c1: ip tuntap add dev tap1 mode tap user 107 group 107',
      '/run/netns/c1: tc qdisc replace dev pod1 clsact',
      `/run/netns/c1: tc filter replace dev pod1 ${LET} flowid 1:1`,
      '/run/netns/c1: tc qdisc replace dev pod1 clsact',
      `/run/netns/c1: tc filter replace dev pod1 ${MUTE}`,
      '/run/netns/c1: tc qdisc replace dev tap1 root noqueue',
      '/run/netns/c1: tc qdisc replace dev tap1 clsact',
      `/run/netns/c1: tc filter replace dev tap1 ${MATCH} pod1`,
      '/run/netns/c1: tc qdisc replace dev pod1 clsact',
      `/run/netns/c1: tc filter replace dev pod1 ${MATCH} tap1`,
      '/run/netns/c1: ip link set dev tap1 arp off multicast off',
      '/run/netns/c1: ip link set dev tap1 mtu 1500',
      '/run/netns/c1: ip link set dev tap1 addrgenmode none',
      '/run/netns/c1: ip address flush dev tap1 to fe80::/10',
      '/run/netns/c1: ip link set dev tap1 alias "l2wire tap of pod1"',
      '/run/netns/c1: ip link set dev pod1 arp off multicast off',
      '/run/netns/c1: ip link set dev pod1 mtu 9216',
      '/run/netns/c1: ip link set dev pod1 addrgenmode none',
      '/run/netns/c1: ip address flush dev pod1 to fe80::/10',
      '/run/netns/c1: ip link set dev pod1 allmulticast on',
      '/run/netns/c1: ip link set dev tap1 up',
      '/run/netns/c1: ip link set dev pod1 up',
    ])
  })
  it('lets a tap that frames come from speak before its pod link is mute', () => {
    const lines = render(wantTap(CABLED))
    const passes = lines.findIndex((line) => line.includes(LET))
    expect(passes).to.be.greaterThan(-1)
    expect(lines.findIndex((line) => line.includes(MUTE))).to.be.greaterThan(passes)
  })
  it("leaves another plugin's pod link its MTU", () => {
    expect(render(wantTap(TAP)).join('\n')).to.not.include('pod1 mtu')
  })
  it('is taken away again', () => {
    expect(render(planUntap(TAP))).to.deep.equal([
      '/run/netns/c1: tc filter del dev pod1 ingress pref 1',
      '/run/netns/c1: ip link del dev tap1',
    ])
  })
})

describe('planDetach()', () => {
  it('leaves nothing to an empty list', () => {
    expect(planDetach([])).to.deep.equal([])
  })
})

describe('toAlias()', () => {
  it('is ASCII without quotes, under 256 bytes', () => {
    const alias = toAlias({ ...A, holder: `pod/"é\n${'x'.repeat(300)}` })
    expect(alias)
      .to.match(/^[\x20-\x7e]{1,200}$/)
      .and.not.include('"')
  })
})

describe('an end without offload', () => {
  const end: WireAttachment = { ...A, offload: false }
  const words = 'tx off tso off gso off tx-udp-segmentation off tx-sctp-segmentation off'
  const step = `host: ethtool -K ${A.hostDevice} ${words}`
  const seeing = (hasOffload: boolean | undefined): Observation => ({
    ...observeJoined(A, B),
    ...(hasOffload === undefined ? {} : { offloads: new Map([[A.hostDevice, hasOffload]]) }),
  })

  it('is made so before it has a carrier', () => {
    expect(render(planEnd(end, new Map(), false))).to.include(step)
    expect(render(planEnd(A, new Map(), false)).join()).to.not.include('ethtool')
  })

  it('is set so again where somebody changed it, and where nobody looked is left alone', () => {
    expect(renderLeft(toGoal([end, B]), seeing(true))).to.deep.equal([step])
    for (const hasOffload of [false, undefined])
      expect(renderLeft(toGoal([end, B]), seeing(hasOffload))).to.deep.equal([])
    expect(renderLeft(toGoal([A, B]), seeing(true))).to.deep.equal([])
  })
})
