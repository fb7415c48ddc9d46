import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../core/argv.ts'
import { fromMac } from '../../core/frame-match.ts'
import type { Lease } from '../../core/lease.ts'
import {
  MACVTAP_SIDE,
  planQuestions,
  planServerAddresses,
  TAP_SIDE,
} from '../../core/plan-lease.ts'
import { listTargets, planTap, planUntap } from '../../core/plan-tap.ts'
import type { Step } from '../../core/step.ts'
import { newTap } from './samples.ts'

const LEASE: Lease = {
  mac: '02:00:00:00:00:01',
  mtuBytes: 1450,
  ipv4: '10.0.0.2/24',
  ipv6: 'fd00::2/64',
  routes: [],
  router: { linkLocal: 'fe80::9', mac: '02:00:00:00:00:09' },
  nameservers: [],
  searches: [],
}
const TAP = newTap({ mtuBytes: 1450, isMuted: true, lease: LEASE })

/** Programs and their length are core/frame-match.ts' own. */
function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, { classifier: 'matchall', hostNetns: 'x', hasIpv6: true }).flatMap(
    ({ tool, lines }) =>
      lines.map((line) => `${tool} ${line.replace(/bytecode "\d+,.{50,}?"/, 'P')}`),
  )
}

describe('planTap() on a pod link with addresses', () => {
  it('mutes the link before all, and joins it after the questions are picked out', () => {
    expect(render(planTap(TAP, { there: new Set(['eth0']) }))).to.deep.equal([
      'tc qdisc replace dev eth0 clsact',
      'tc filter replace dev eth0 egress pref 2 protocol all handle 1 bpf da bytecode "1,6 0 0 2,"',
      'ip tuntap add dev tap0 mode tap user 107 group 107',
      'ip link set dev tap0 addrgenmode none arp off multicast off',
      'ip link set dev tap0 mtu 1450 alias "l2wire tap of eth0"',
      'tc filter replace dev eth0 egress pref 1 protocol all handle 800::1 u32 match u32 0 0 at -12 indev tap0 flowid 1:1',
      'tc qdisc replace dev tap0 root noqueue',
      'ip link add name lws0 address 02:00:00:00:00:09 type veth peer name lwp0',
      'ip link set dev lws0 addrgenmode none',
      'ip link set dev lwp0 addrgenmode none arp off multicast off',
      'nft add table netdev l2wire-lws0',
      'nft delete table netdev l2wire-lws0',
      'nft add table netdev l2wire-lws0',
      'nft add chain netdev l2wire-lws0 input { type filter hook ingress device "lws0" priority 0; policy drop; }',
      ...[
        'ip daddr 169.254.75.10',
        'ip daddr 255.255.255.255',
        'ip6 daddr ff02::2',
        'ip6 daddr ff02::1:2',
        'ip6 daddr fe80::9',
      ].map(
        (address) =>
          `nft add rule netdev l2wire-lws0 input ${address} meta pkttype set host accept`,
      ),
      ...['ip', 'ipv6', 'ipv6', 'ipv6'].flatMap((protocol, at) => [
        'tc qdisc replace dev lwp0 clsact',
        `tc filter replace dev lwp0 ingress pref ${at + 1} protocol ${protocol} handle 1 bpf P action mirred egress redirect dev tap0`,
      ]),
      'ip link set dev lwp0 up',
      'ip link set dev lws0 up',
      ...['ip', 'ipv6', 'ipv6', 'ipv6'].flatMap((protocol, at) => [
        'tc qdisc replace dev tap0 clsact',
        `tc filter replace dev tap0 ingress pref ${at + 1} protocol ${protocol} handle 1 bpf P action mirred egress ${at === 3 ? 'mirror dev lwp0 continue' : 'redirect dev lwp0'}`,
      ]),
      'tc qdisc replace dev tap0 clsact',
      'tc filter replace dev tap0 ingress pref 9 protocol all handle 1 matchall action mirred egress redirect dev eth0',
      'tc qdisc replace dev eth0 clsact',
      'tc filter replace dev eth0 ingress pref 1 protocol all handle 1 matchall action mirred egress redirect dev tap0',
      'ip link set dev tap0 up',
      'ip link set dev eth0 up',
    ])
  })

  it('says nothing about the link itself, whose CNI plugin may look again', () => {
    const steps = render(planTap(TAP, { there: new Set() }))
    expect(steps.filter((step) => step.startsWith('ip link set dev eth0'))).to.deep.equal([
      'ip link set dev eth0 up',
    ])
    const shared = render(planTap(TAP, { there: new Set(), isShared: true }))
    expect(shared).to.include('ip link set dev eth0 allmulticast on')
  })

  it('makes only what is not there', () => {
    const steps = render(planTap(TAP, { there: new Set(['tap0', 'lws0', 'lwp0']) }))
    expect(steps.filter((step) => /tuntap|link add|alias/.test(step))).to.deep.equal([])
  })

  it('picks out what the link has addresses for', () => {
    const { ipv6: _, ...lease } = LEASE
    expect(listTargets({ ...TAP, lease })).to.deep.equal([
      ['tap0', ['lwp0', 'eth0']],
      ['eth0', ['tap0']],
    ])
    expect(listTargets(TAP)[0]?.[1]).to.deep.equal(['lwp0', 'lwp0', 'lwp0', 'lwp0', 'eth0'])
    const { lease: __, ...untold } = TAP
    expect(listTargets(untold)[0]?.[1]).to.deep.equal(['eth0'])
    expect(render(planTap(untold, { there: new Set() })).join('\n')).to.not.include('lws0')
  })

  for (const side of [TAP_SIDE, MACVTAP_SIDE])
    it(`picks out what the VM's own MAC sends, on ${side.hears}`, () => {
      const steps = planQuestions(TAP, LEASE, side)
      expect(steps).to.have.length(4)
      const { conditions: ofVm } = fromMac(LEASE.mac, { protocol: 'ip', conditions: [] })
      expect(ofVm).to.not.deep.equal([])
      for (const step of steps)
        expect(step.op === 'pick' ? step.frames.conditions : []).to.deep.include.members([...ofVm])
    })

  it('shares what the VM answers its neighbours with a gateway that is known, alone', () => {
    const { router: _, ...lease } = LEASE
    const steps = render(planTap({ ...TAP, lease }, { there: new Set() })).join('\n')
    expect(steps).to.include('pref 4 protocol ipv6').and.not.include('mirror')
  })

  it('asks the server for gateways that nobody answers for, and no others', () => {
    const silent = { addresses: ['fe80::9', '169.254.1.1'], mac: '02:00:00:00:00:09' }
    const { router: _, ipv6: __, ...lease4 } = LEASE
    const only4 = { ...lease4, silent: { ...silent, addresses: ['169.254.1.1'] } }
    const steps = render(planTap({ ...TAP, lease: { ...LEASE, silent } }, { there: new Set() }))
    const steps4 = render(planTap({ ...TAP, lease: only4 }, { there: new Set() }))
    for (const [dev, pref, protocol, all] of [
      ['lwp0', 5, 'ipv6', steps],
      ['tap0', 5, 'ipv6', steps],
      ['lwp0', 6, 'arp', steps],
      ['tap0', 6, 'arp', steps],
      ['tap0', 2, 'arp', steps4],
    ] as const)
      expect(all.join('\n')).to.include(
        `filter replace dev ${dev} ingress pref ${pref} protocol ${protocol} handle 1 bpf P action mirred egress redirect`,
      )
    const heard = steps.filter((step) => step.includes('rule'))
    expect(heard.slice(5).map((step) => step.split(' ').slice(6, 10).join(' '))).to.deep.equal([
      'ip6 daddr ff02::1:ff00:9 meta',
      'arp daddr ip 169.254.1.1',
    ])
    expect(steps4).to.include(
      'ip link add name lws0 address 02:00:00:00:00:09 type veth peer name lwp0',
    )
    const addresses = render(planServerAddresses(TAP, { ...LEASE, silent }, []))
    expect(addresses.filter((step) => step.includes('address add'))).to.deep.equal([
      'ip address add 169.254.75.10/32 dev lws0',
      'ip address add 169.254.1.1/32 dev lws0',
      'ip address add fe80::9/64 nodad dev lws0',
      'ip address add fd00::2/64 nodad noprefixroute dev lws0',
    ])
  })

  it('is taken away again, and the link stays mute', () => {
    expect(render(planUntap(TAP))).to.deep.equal([
      'tc filter del dev eth0 ingress pref 1',
      'ip link del dev tap0',
      'nft add table netdev l2wire-lws0',
      'nft delete table netdev l2wire-lws0',
      'ip link del dev lws0',
    ])
  })
})

describe('planServerAddresses()', () => {
  it('makes the server the router, with the VM as the neighbour that it knows', () => {
    expect(render(planServerAddresses(TAP, LEASE, []))).to.deep.equal([
      'ip address add 169.254.75.10/32 dev lws0',
      'ip address add fe80::9/64 nodad dev lws0',
      'ip address add fd00::2/64 nodad noprefixroute dev lws0',
      'ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
      'ip neigh replace fe80::ff:fe00:1 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
    ])
  })
  it('adds what is missing, with an address of its own where the router is not known', () => {
    const { router: _, ipv4: __, ...lease } = LEASE
    const there = ['169.254.75.10/32', 'fd00::2/64']
    expect(render(planServerAddresses(TAP, lease, there))).to.deep.equal([
      'ip address add fe80::a9fe:4b0a/64 nodad dev lws0',
      'ip neigh replace fe80::ff:fe00:1 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
    ])
  })
})
