import { expect } from 'chai'
import { describe, it } from 'mocha'

import { renderBatches } from '../../../core/steps/argv.ts'
import { fromMac } from '../../../core/steps/frame-match.ts'
import type { VmNetwork } from '../../../core/podnetwork/vm-network.ts'
import {
  MACVTAP_SIDE,
  wantQuestions,
  wantServerAddresses,
  TAP_SIDE,
} from '../../../core/podnetwork/plan.ts'
import type { TapAttachment } from '../../../core/attach/attachment.ts'
import { planUntap, wantTap } from '../../../core/attach/tap.ts'
import type { Step } from '../../../core/steps/step.ts'
import { newTap } from '../samples.ts'

const VM_NETWORK: VmNetwork = {
  mac: '02:00:00:00:00:01',
  mtuBytes: 1450,
  ipv4: '10.0.0.2/24',
  ipv6: 'fd00::2/64',
  routes: [],
  router: { linkLocal: 'fe80::9', mac: '02:00:00:00:00:09' },
  nameservers: [],
  searches: [],
}
const TAP = newTap({ mtuBytes: 1450, isMuted: true, lease: VM_NETWORK })

/** Programs and their length are core/steps/frame-match.ts' own. */
function render(steps: readonly Step[]): readonly string[] {
  return renderBatches(steps, { classifier: 'matchall', hostNetns: 'x' }).flatMap(
    ({ tool, lines }) =>
      lines.map((line) => `${tool} ${line.replace(/bytecode "\d+,.{50,}?"/, 'P')}`),
  )
}

function listSteered(tap: TapAttachment): readonly string[] {
  return wantTap(tap).flatMap((step) =>
    step.op === 'steer' && step.dev === 'tap0' ? [step.target] : [],
  )
}

describe('wantTap() on a pod link with addresses', () => {
  it('joins the link once it is mute and the questions are picked out', () => {
    expect(render(wantTap(TAP))).to.deep.equal([
      'ip tuntap add dev tap0 mode tap user 107 group 107',
      'ip link add name lws0 address 02:00:00:00:00:09 type veth peer name lwp0',
      'ip link set dev lws0 addrgenmode none',
      'ip link set dev lwp0 arp off multicast off',
      'ip link set dev lwp0 mtu 1500',
      'ip link set dev lwp0 addrgenmode none',
      'ip address flush dev lwp0 to fe80::/10',
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
      'nft add chain netdev l2wire-lws0 confirm { type filter hook ingress device "lwp0" priority 0; policy accept; }',
      'nft add rule netdev l2wire-lws0 confirm ip6 nexthdr udp udp dport 547 @th,64,8 6 @th,0,16 set 1058 @th,64,8 set 4 fwd to "lwp0"',
      ...['ip', 'ipv6', 'ipv6', 'ipv6'].flatMap((protocol, at) => [
        'tc qdisc replace dev lwp0 clsact',
        `tc filter replace dev lwp0 ingress pref ${at + 1} protocol ${protocol} handle 1 bpf P action mirred egress redirect dev tap0`,
      ]),
      'ethtool -K lws0 tx off tso off gso off tx-udp-segmentation off tx-sctp-segmentation off',
      'ip link set dev lwp0 up',
      'ip link set dev lws0 arp on multicast on',
      'ip link set dev lws0 mtu 1500',
      'ip link set dev lws0 up',
      'tc qdisc replace dev eth0 clsact',
      'tc filter replace dev eth0 egress pref 1 protocol all handle ::1 u32 match u32 0 0 at -12 indev tap0 flowid 1:1',
      'tc qdisc replace dev eth0 clsact',
      'tc filter replace dev eth0 egress pref 2 protocol all handle 1 bpf da bytecode "1,6 0 0 2,"',
      'tc qdisc replace dev tap0 root noqueue',
      ...[
        'ip handle 1 bpf P action mirred egress redirect dev lwp0',
        'ipv6 handle 1 bpf P action mirred ingress redirect dev lwp0',
        'ipv6 handle 1 bpf P action mirred egress redirect dev lwp0',
        'ipv6 handle 1 bpf P action mirred egress redirect dev lwp0',
        'ipv6 handle 1 bpf P action mirred egress mirror dev lwp0 continue',
      ].flatMap((words, at) => [
        'tc qdisc replace dev tap0 clsact',
        `tc filter replace dev tap0 ingress pref ${at + 1} protocol ${words}`,
      ]),
      'tc qdisc replace dev tap0 clsact',
      'tc filter replace dev tap0 ingress pref 9 protocol all handle 1 matchall action mirred egress redirect dev eth0',
      'tc qdisc replace dev eth0 clsact',
      'tc filter replace dev eth0 ingress pref 1 protocol all handle 1 matchall action mirred egress redirect dev tap0',
      'ip link set dev tap0 arp off multicast off',
      'ip link set dev tap0 mtu 1450',
      'ip link set dev tap0 addrgenmode none',
      'ip address flush dev tap0 to fe80::/10',
      'ip link set dev tap0 alias "l2wire tap of eth0"',
      'ip link set dev eth0 allmulticast on',
      'ip link set dev tap0 up',
      'ip link set dev eth0 up',
    ])
  })

  it('says nothing about the link itself, whose CNI plugin may look again', () => {
    const steps = render(wantTap(TAP))
    expect(steps.filter((step) => step.startsWith('ip link set dev eth0'))).to.deep.equal([
      'ip link set dev eth0 allmulticast on',
      'ip link set dev eth0 up',
    ])
  })

  it('picks out what the link has addresses for', () => {
    const { ipv6: _, ...lease } = VM_NETWORK
    expect(listSteered({ ...TAP, lease })).to.deep.equal(['lwp0'])
    expect(listSteered(TAP)).to.deep.equal(Array<string>(5).fill('lwp0'))
    const { lease: __, ...untold } = TAP
    expect(listSteered(untold)).to.deep.equal([])
    expect(render(wantTap(untold)).join('\n')).to.not.include('lws0')
  })

  for (const side of [TAP_SIDE, MACVTAP_SIDE])
    it(`picks out what the VM's own MAC sends, on ${side.hears}`, () => {
      const steps = wantQuestions(TAP, VM_NETWORK, side)
      expect(steps).to.have.length(5)
      const { conditions: ofVm } = fromMac(VM_NETWORK.mac, { protocol: 'ip', conditions: [] })
      expect(ofVm).to.not.deep.equal([])
      for (const step of steps)
        expect(step.op === 'steer' ? step.frames.conditions : []).to.deep.include.members([...ofVm])
    })

  it('shares what the VM answers its neighbours with a gateway that is known, alone', () => {
    const { router: _, ...lease } = VM_NETWORK
    const steps = render(wantTap({ ...TAP, lease })).join('\n')
    expect(steps).to.include('pref 4 protocol ipv6').and.not.include('mirror')
  })

  it('turns no rebind where the picks would not have room before the redirect', () => {
    const addresses = ['fe80::9', '169.254.1.1', '169.254.1.2', '169.254.1.3']
    const count = (upTo: number): readonly [number, boolean] => {
      const silent = { addresses: addresses.slice(0, upTo), mac: '02:00:00:00:00:09' }
      const steps = render(wantTap({ ...TAP, lease: { ...VM_NETWORK, silent } }))
      const picks = steps.filter((step) => /filter replace dev tap0 ingress pref [1-8] /.test(step))
      return [picks.length, steps.some((step) => step.includes('fwd'))]
    }
    expect(count(3)).to.deep.equal([8, true])
    expect(count(4)).to.deep.equal([8, false])
  })

  it('asks the server for gateways that nobody answers for, and no others', () => {
    const silent = { addresses: ['fe80::9', '169.254.1.1'], mac: '02:00:00:00:00:09' }
    const { router: _, ipv6: __, ...lease4 } = VM_NETWORK
    const only4 = { ...lease4, silent: { ...silent, addresses: ['169.254.1.1'] } }
    const steps = render(wantTap({ ...TAP, lease: { ...VM_NETWORK, silent } }))
    const steps4 = render(wantTap({ ...TAP, lease: only4 }))
    for (const [dev, pref, protocol, all] of [
      ['lwp0', 5, 'ipv6', steps],
      ['tap0', 6, 'ipv6', steps],
      ['lwp0', 6, 'arp', steps],
      ['tap0', 7, 'arp', steps],
      ['tap0', 2, 'arp', steps4],
    ] as const)
      expect(all.join('\n')).to.include(
        `filter replace dev ${dev} ingress pref ${pref} protocol ${protocol} handle 1 bpf P action mirred egress redirect`,
      )
    const heard = steps.filter((step) => / rule \S+ \S+ input /.test(step))
    expect(heard.slice(5).map((step) => step.split(' ').slice(6, 10).join(' '))).to.deep.equal([
      'ip6 daddr ff02::1:ff00:9 meta',
      'arp daddr ip 169.254.1.1',
    ])
    expect(steps4).to.include(
      'ip link add name lws0 address 02:00:00:00:00:09 type veth peer name lwp0',
    )
    const addresses = render(wantServerAddresses(TAP, { ...VM_NETWORK, silent }))
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

describe('wantServerAddresses()', () => {
  it('makes the server the router, with the VM as the neighbour that it knows', () => {
    expect(render(wantServerAddresses(TAP, VM_NETWORK))).to.deep.equal([
      'ip address add 169.254.75.10/32 dev lws0',
      'ip address add fe80::9/64 nodad dev lws0',
      'ip address add fd00::2/64 nodad noprefixroute dev lws0',
      'ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
      'ip neigh replace fe80::ff:fe00:1 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
    ])
  })
  it('has an address of its own where the router is not known', () => {
    const { router: _, ipv4: __, ...lease } = VM_NETWORK
    expect(render(wantServerAddresses(TAP, lease))).to.deep.equal([
      'ip address add 169.254.75.10/32 dev lws0',
      'ip address add fe80::a9fe:4b0a/64 nodad dev lws0',
      'ip address add fd00::2/64 nodad noprefixroute dev lws0',
      'ip neigh replace fe80::ff:fe00:1 lladdr 02:00:00:00:00:01 dev lws0 nud permanent',
    ])
  })
})
