import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../core/argv.ts'
import { toWireAttachment, type WireAttachment } from '../../core/attachment.ts'
import {
  listLeads,
  planDetach,
  planEnd,
  planUnplug,
  planWire,
  toAlias,
  type WireGoal,
  type WirePlan,
} from '../../core/plan.ts'
import { planTap, planUntap } from '../../core/plan-tap.ts'
import type { ObservedLink, ObservedLinks } from '../../core/observed.ts'
import type { Step } from '../../core/step.ts'
import type { Tunnel } from '../../core/tunnel.ts'
import { newTap } from './samples.ts'

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
  port: 14789,
  mtuBytes: 9216,
})

function observe(
  ends: readonly WireAttachment[],
  isUp: boolean,
  redirects?: readonly string[],
): ObservedLinks {
  const state = { isUp, hasCarrier: isUp, mtuBytes: 9216, redirects }
  return new Map(ends.map((end) => [end.hostDevice, { ...state, alias: toAlias(end) }]))
}

/** Two ends joined, each leading to the other. */
function observeJoined(a: WireAttachment, b: WireAttachment, isUp = true): ObservedLinks {
  return new Map([...observe([a], isUp, [b.hostDevice]), ...observe([b], isUp, [a.hostDevice])])
}

function toGoal(ends: readonly WireAttachment[], more: Partial<WireGoal> = {}): WireGoal {
  const isJoined = ends.length === 2
  return {
    ends: ends.map((end) => ({ end, hasCarrier: isJoined })),
    isJoined,
    detached: [],
    ...more,
  }
}

function renderPlan({ steps, removals }: WirePlan): readonly string[] {
  return [...render(steps), ...render(removals).map((line) => `${line} (or gone)`)]
}

/** The whole change as text, one line per command, as the kernel will be told. */
function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, {
    classifier: 'bpf',
    hostNetns: '/proc/1/ns/net',
    hasIpv6: true,
  }).flatMap((batch) =>
    batch.lines.map((line) => `${batch.netns ?? 'host'}: ${batch.tool} ${line}`),
  )
}

const MATCH =
  'ingress pref 1 protocol all handle 1 bpf bytecode "1,6 0 0 4294967295," action mirred egress redirect dev'

describe('planEnd()', () => {
  it('makes an end that is joined to nothing', () => {
    expect(render(planEnd(A, new Map()))).to.deep.equal([
      `/run/netns/c1: ip link add name eth1 address 02:00:00:00:00:01 mtu 1500 type veth peer name ${A.hostDevice} mtu 9216 arp off multicast off netns /proc/1/ns/net`,
      '/run/netns/c1: ip link set dev eth1 up',
      `host: tc qdisc replace dev ${A.hostDevice} clsact`,
    ])
  })

  it('clears away what a failed attempt left under its name', () => {
    expect(render(planEnd(A, observe([A], false)))[0]).to.equal(
      `host: ip link del dev ${A.hostDevice}`,
    )
  })
})

/** As an end is when it has just been made: no alias yet. */
function observeNew(end: WireAttachment): ObservedLinks {
  return new Map([[end.hostDevice, { isUp: false, hasCarrier: false, mtuBytes: 9216, alias: '' }]])
}

describe('planWire()', () => {
  it('makes the first end silent, and leaves it without carrier', () => {
    expect(renderPlan(planWire(toGoal([A]), observeNew(A)))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} addrgenmode none arp off multicast off`,
      `host: ip link set dev ${A.hostDevice} alias "l2wire default/w container/c1 eth1" down`,
    ])
  })

  it('joins the second end to the first, redirects before carrier', () => {
    const observed = new Map([...observe([A], false), ...observeNew(B)])
    expect(renderPlan(planWire(toGoal([A, B]), observed))).to.deep.equal([
      `host: tc qdisc replace dev ${A.hostDevice} clsact`,
      `host: tc filter replace dev ${A.hostDevice} ${MATCH} ${B.hostDevice}`,
      `host: tc qdisc replace dev ${B.hostDevice} clsact`,
      `host: tc filter replace dev ${B.hostDevice} ${MATCH} ${A.hostDevice}`,
      `host: ip link set dev ${A.hostDevice} up`,
      `host: ip link set dev ${B.hostDevice} addrgenmode none arp off multicast off`,
      `host: ip link set dev ${B.hostDevice} alias "l2wire default/w container/c2 eth1" up`,
    ])
  })

  it('costs three processes for the second end', () => {
    const options = { classifier: 'bpf', hostNetns: '/proc/1/ns/net', hasIpv6: true } as const
    const observed = new Map([...observe([A], false), ...observeNew(B)])
    const steps = [...planEnd(B, new Map()), ...planWire(toGoal([A, B]), observed).steps]
    expect(renderBatches(steps, options)).to.have.length(3)
  })

  const noSteps: readonly { name: string; goal: WireGoal; observed: ObservedLinks }[] = [
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
      goal: toGoal([], { detached: [A] }),
      observed: new Map(),
    },
    {
      name: 'a tunnel that is closed already',
      goal: toGoal([A], { closing: 'lx1' }),
      observed: observe([A], false, []),
    },
  ]
  for (const { name, goal, observed } of noSteps)
    it(`does nothing for ${name}`, () => {
      expect(renderPlan(planWire(goal, observed))).to.deep.equal([])
    })

  it('joins again what nobody looked at, without touching a link', () => {
    const { steps } = planWire(toGoal([A, B]), observe([A, B], true))
    expect(steps.map((step) => step.op)).to.deep.equal(['add-redirect', 'add-redirect'])
  })

  it('mends just the redirect that is wrong', () => {
    const observed = new Map([...observeJoined(A, B), ...observe([B], true, ['*'])])
    expect(renderPlan(planWire(toGoal([A, B]), observed))).to.deep.equal([
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
    expect(renderPlan(planWire(goal, observeJoined(A, B)))).to.deep.equal([
      `host: ip link set dev ${B.hostDevice} down`,
    ])
  })

  it('takes the cable out: carriers first, then the way', () => {
    const goal = toGoal([A, B], {
      ends: [A, B].map((end) => ({ end, hasCarrier: false })),
      isJoined: false,
    })
    expect(renderPlan(planWire(goal, observeJoined(A, B)))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} down`,
      `host: ip link set dev ${B.hostDevice} down`,
      `host: tc filter del dev ${A.hostDevice} ingress pref 1 (or gone)`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1 (or gone)`,
    ])
  })

  it('names an end in words that lost its place before it was joined', () => {
    expect(renderPlan(planWire(toGoal([], { detached: [A] }), observeNew(A)))).to.deep.equal([
      `host: ip link set dev ${A.hostDevice} addrgenmode none arp off multicast off (or gone)`,
      `host: ip link set dev ${A.hostDevice} alias "l2wire default/w container/c1 eth1" down (or gone)`,
    ])
  })

  it('lets a newer sandbox in before the older one is taken off, whose owner sees the cable go', () => {
    const C = newEnd('c3')
    const goal = toGoal([A, C], { detached: [B] })
    const observed = new Map([...observeJoined(A, B), ...observeNew(C)])
    expect(renderPlan(planWire(goal, observed)).slice(-3)).to.deep.equal([
      `host: ip link set dev ${C.hostDevice} alias "l2wire default/w container/c3 eth1" up`,
      `host: ip link set dev ${B.hostDevice} down (or gone)`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1 (or gone)`,
    ])
  })

  describe('a far end that moves', () => {
    const tunnel = newTunnel('lx1')
    const link: ObservedLink = {
      isUp: true,
      hasCarrier: true,
      mtuBytes: 9216,
      alias: 'l2wire default/w vni 7 port 14789 local 192.0.2.1 remote 192.0.2.2',
      redirects: [A.hostDevice],
    }
    const across = new Map([...observe([A], true, ['lx1']), ['lx1', link] as const])

    it('to another node: the surviving end is led into the tunnel, and never goes down', () => {
      const goal = toGoal([A], {
        ends: [{ end: A, hasCarrier: true }],
        isJoined: true,
        tunnel,
        detached: [B],
      })
      const lines = renderPlan(planWire(goal, observeJoined(A, B)))
      expect(lines).to.include(`host: tc filter replace dev ${A.hostDevice} ${MATCH} lx1`)
      expect(lines.join('\n')).not.to.include(`${A.hostDevice} down`)
      expect(planWire(goal, new Map([...across, ...observe([B], false, [])]))).to.deep.equal({
        steps: [],
        removals: [],
      })
    })

    it('here: the tunnel goes once the surviving end leads elsewhere', () => {
      const goal = toGoal([A, B], { closing: 'lx1' })
      const lines = renderPlan(planWire(goal, new Map([...across, ...observeNew(B)])))
      expect(lines.join('\n')).not.to.include(`${A.hostDevice} down`)
      expect(lines.indexOf('host: ip link del dev lx1 (or gone)')).to.be.greaterThan(
        lines.indexOf(`host: tc filter replace dev ${A.hostDevice} ${MATCH} ${B.hostDevice}`),
      )
    })

    it('with another VNI: what is made anew is joined and set up again, whatever the old one had', () => {
      const goal = toGoal([A], {
        ends: [{ end: A, hasCarrier: true }],
        isJoined: true,
        tunnel: { ...tunnel, vni: 8 },
      })
      const lines = renderPlan(planWire(goal, across, new Set(['192.0.2.2 7'])))
      expect(lines).to.include.members([
        `host: tc filter replace dev lx1 ${MATCH} ${A.hostDevice}`,
        `host: tc filter replace dev ${A.hostDevice} ${MATCH} lx1`,
        'host: ip link set dev lx1 up',
      ])
    })

    it('whose permission somebody took away is let in again', () => {
      const goal = toGoal([A], { ends: [{ end: A, hasCarrier: true }], isJoined: true, tunnel })
      expect(renderPlan(planWire(goal, across, new Set(['192.0.2.2 8'])))).to.deep.equal([
        'host: nft add element inet l2wire peers4 { 192.0.2.2 . 7 }',
      ])
      expect(renderPlan(planWire(goal, across, new Set(['192.0.2.2 7'])))).to.deep.equal([])
    })
  })
})

describe('listLeads()', () => {
  const C = newEnd('c3')
  const tunnel = newTunnel('lx0')
  const cases: readonly { name: string; goal: WireGoal; leads: readonly string[] }[] = [
    {
      name: 'two ends to each other, and one that lost its place nowhere',
      goal: toGoal([A, B], { detached: [C] }),
      leads: [
        `${A.hostDevice} to ${B.hostDevice}`,
        `${B.hostDevice} to ${A.hostDevice}`,
        `${C.hostDevice} to nowhere`,
      ],
    },
    {
      name: 'an end and its tunnel to each other',
      goal: toGoal([A], { isJoined: true, tunnel }),
      leads: [`${A.hostDevice} to lx0`, `lx0 to ${A.hostDevice}`],
    },
    { name: 'an end alone nowhere', goal: toGoal([A]), leads: [`${A.hostDevice} to nowhere`] },
    {
      name: 'both ends of a cable that is out nowhere',
      goal: toGoal([A, B], { isJoined: false }),
      leads: [`${A.hostDevice} to nowhere`, `${B.hostDevice} to nowhere`],
    },
  ]
  for (const { name, goal, leads } of cases)
    it(`has ${name}`, () => {
      const listed = listLeads(goal)
      expect(listed.map(({ dev, target = 'nowhere' }) => `${dev} to ${target}`)).to.deep.equal(
        leads,
      )
    })
})

describe('planUnplug()', () => {
  it('takes carrier from the end that stays, then the redirect, then the devices', () => {
    expect(render(planUnplug(A, [B], observe([A, B], true)))).to.deep.equal([
      `host: ip link set dev ${B.hostDevice} down`,
      `host: tc filter del dev ${B.hostDevice} ingress pref 1`,
      `host: ip link del dev ${A.hostDevice}`,
    ])
  })
  it('does nothing where nothing is left', () => {
    expect(planUnplug(A, [B], new Map())).to.deep.equal([])
  })
})

describe('planTap()', () => {
  it('joins a tap of QEMU to its pod link, silent before up', () => {
    expect(render(planTap(TAP, { maxFrameBytes: 9216, there: new Set() }))).to.deep.equal([
      '/run/netns/c1: ip tuntap add dev tap1 mode tap user 107 group 107',
      '/run/netns/c1: ip link set dev tap1 addrgenmode none arp off multicast off',
      '/run/netns/c1: ip link set dev tap1 mtu 1500 alias "l2wire tap of pod1"',
      '/run/netns/c1: ip link set dev pod1 addrgenmode none arp off multicast off',
      '/run/netns/c1: ip link set dev pod1 mtu 9216',
      '/run/netns/c1: tc qdisc replace dev tap1 root noqueue',
      '/run/netns/c1: tc qdisc replace dev tap1 clsact',
      `/run/netns/c1: tc filter replace dev tap1 ${MATCH} pod1`,
      '/run/netns/c1: tc qdisc replace dev pod1 clsact',
      `/run/netns/c1: tc filter replace dev pod1 ${MATCH} tap1`,
      '/run/netns/c1: ip link set dev tap1 up',
      '/run/netns/c1: ip link set dev pod1 up',
    ])
  })
  it("leaves another plugin's pod link its MTU", () => {
    expect(render(planTap(TAP, { there: new Set() })).join('\n')).to.not.include('pod1 mtu')
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
