// A VM straight on a pod link with addresses, made by Debian's CNI plugins and host-local: what a stock
// DHCP client behind the tap is told, and by whom it is heard.
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { concatBytes, fromHex } from '../../../core/tester/bytes.ts'
import { run } from '../../../kernel/run.ts'
import { getNadConfig, readManifest } from '../../../lab/manifests.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { GUEST_NIC, openTap } from '../../../lab/tap-opener.ts'
import { expectLogged } from '../../expect-logged.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { askIpv4, CONTAINER, newParent, newPodNetwork, RANGES } from '../fixture-pod-network.ts'

const DNS = { nameservers: ['10.96.0.10', 'fd00::10'], search: ['svc.test', 'test'] }

describe('a VM on a pod network', function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  for (const [plugin, mask, routes] of [
    ['bridge', '24', `0.0.0.0/0 ${RANGES[4].gateway}`],
    ['ptp', '32', `198.51.100.1/32 0.0.0.0 0.0.0.0/0 198.51.100.1 198.51.100.0/24 198.51.100.1`],
  ] as const)
    it(`is told the pod's address on a link of ${plugin}`, async () => {
      await using network = await newPodNetwork(node, { plugin, families: [4, 6] })
      await network.add({ dns: DNS })
      for (const answer of [await network.bind('CHECK'), await network.checkPrimary()])
        expect(answer, answer.stdout).to.include({ exitCode: 0 })
      await using _ = await network.open()
      expect(Object.fromEntries(await network.askIpv4())).to.include({
        ip: network.addresses[0]?.split('/')[0],
        mask,
        router: RANGES[4].gateway,
        staticroutes: routes,
        mtu: '1450',
        dns: '10.96.0.10',
        search: 'svc.test test',
        domain: 'svc.test',
        hostname: 'r1-launcher',
        lease: '4294967295',
      })
      expect(await network.readRouter()).to.deep.equal(await network.readGateway())
      expect(Object.fromEntries(await network.askIpv6('LL'))).to.include({
        reason: 'BOUND6',
        new_ip6_address: network.addresses[1]?.split('/')[0],
        new_dhcp6_name_servers: 'fd00::10',
        new_dhcp6_domain_search: 'svc.test. test.',
        new_fqdn_fqdn: 'r1-launcher',
      })
      // As a system does that a boot loader has loaded, which had the address before.
      expect((await network.askIpv6('LLT')).get('new_ip6_address')).to.equal(
        network.addresses[1]?.split('/')[0],
      )
    })

  it("is told the pod's address on a link of macvlan, and hears what is sent to its groups", async () => {
    await using parent = await newParent()
    await using network = await newPodNetwork(node, { plugin: 'macvlan', families: [4, 6] })
    await network.add()
    for (const answer of [await network.bind('CHECK'), await network.checkPrimary()])
      expect(answer, answer.stdout).to.include({ exitCode: 0 })
    await using _ = await network.open()
    const told = await network.askIpv4()
    const ip = network.addresses[0]?.split('/')[0] ?? ''
    expect(Object.fromEntries(told)).to.include({ ip, mask: '24', router: RANGES[4].gateway })
    await network.guest.run(['ip', 'address', 'add', `${ip}/24`, 'dev', GUEST_NIC])
    const ipv6 = network.addresses[1] ?? ''
    await network.guest.run(['ip', 'address', 'add', ipv6, 'dev', GUEST_NIC, 'nodad'])
    // The question of an IPv6 neighbour is to a group that the VM alone has joined.
    for (const ping of [`ping -c 1 -W 5 ${ip}`, `ping6 -c 1 -W 5 ${ipv6.split('/')[0]}`])
      expect(await parent.outside.run(['busybox', ...ping.split(' ')])).to.include(
        '1 packets received',
      )
    await expectLogged(node, 'the IPv6 gateway cannot be seen from this node')
  })

  it('is told nothing by us where its network says "dhcp": false, or where there is nothing to tell', async () => {
    for (const [more, config] of [
      [{}, { dhcp: false }],
      [{ ipam: {} }, {}],
    ] as const) {
      await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4], more })
      await network.add(config)
      expect((await network.bind('CHECK', config)).exitCode).to.equal(0)
      expect(await network.pod.run(['ip', '-br', 'link', 'show'])).to.not.include('lws0')
      expect(await readServers()).to.equal('')
    }
  })

  it('is told the first of several addresses, and a log line names the others', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.pod.run(['ip', 'address', 'add', '203.0.113.5/24', 'dev', 'eth0'])
    await network.add()
    await using _ = await network.open()
    expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    await expectLogged(node, /"others":\["203.0.113.5\/24"\].*one address of each family/)
  })

  it('is told the first of several IPv6 addresses as their CNI plugin counts', async () => {
    const subnets = ['fd00:9::/64', 'fd00:a::/64', RANGES[4].subnet]
    const ipam = {
      type: 'host-local',
      dataDir: `${node.folder}/several`,
      ranges: subnets.map((subnet) => [{ subnet }]),
    }
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4, 6],
      more: { ipam, isGateway: false },
    })
    const [first = '', second = ''] = network.addresses
    expect([first, second]).to.deep.equal(['fd00:9::2/64', 'fd00:a::2/64'])
    await network.add()
    await using _ = await network.open()
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(first.split('/')[0])
    await expectLogged(node, /"others":\["fd00:a::2\/64"\].*one address of each family/)
  })

  it('is told the MTU of the default routes, as Cilium gives it, and hears longer frames all the same', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    const { pod, far, nic, mac } = network
    for (const words of [
      `-4 route change default via ${RANGES[4].gateway} mtu 1400`,
      `-6 route change default via ${RANGES[6].gateway} mtu 1390`,
    ])
      await pod.run(['ip', ...words.split(' ')])
    await network.add()
    const readMtu = async (dev: string): Promise<string | undefined> =>
      / mtu (\d+) /.exec(await pod.run(['ip', 'link', 'show', 'dev', dev]))?.[1]
    // The guest's NIC has the tap's; the link stays as its plugin made it.
    expect([await readMtu('tap0'), await readMtu('eth0')]).to.deep.equal(['1390', '1450'])
    await using _ = await network.open()
    expect((await network.askIpv4()).get('mtu')).to.equal('1390')
    await network.readRouter()
    expect(
      (await network.guest.run(['cat', '/proc/sys/net/ipv6/conf/nic0/mtu'])).trim(),
      'as advertised',
    ).to.equal('1390')
    for (const [one, other, frame] of [
      [far, nic, newLongFrame(mac, '02005e005301')],
      [nic, far, newLongFrame('02005e005301', mac)],
    ] as const) {
      await using capture = await other.startCapture()
      await one.send([frame])
      await sleep(500)
      const heard = await capture.stop()
      expect(heard.filter((each) => Buffer.compare(each, frame) === 0)).to.have.length(1)
    }
  })

  it('keeps what it was told where its link is given another address, and CHECK says so', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    const [address = ''] = network.addresses
    await network.pod.run(['ip', 'address', 'add', '203.0.113.77/24', 'dev', 'eth0'])
    expect((await network.bind('CHECK')).exitCode, 'one more').to.equal(0)
    await network.pod.run(['ip', 'address', 'del', address, 'dev', 'eth0'])
    const { output } = await network.bind('CHECK')
    expect(output).to.include({ code: 105 })
    expect(output?.['msg']).to.match(/of "eth0" its addresses are "203\.0\.113\.77\/24/)
    await using _ = await network.open()
    expect((await network.askIpv4()).get('ip')).to.equal(address.split('/')[0])
  })

  it('is told routes through a gateway that no network of the link has, as Calico gives them', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    const gateway6 = 'fe80::ecee:eeff:feee:eeee'
    for (const words of [
      'address flush dev eth0 scope global',
      'address add 198.51.100.9/32 dev eth0',
      'route add 169.254.1.1 dev eth0 scope link',
      'route add default via 169.254.1.1 dev eth0',
      'address add fd00:9::9/128 dev eth0 nodad',
      `route replace default via ${gateway6} dev eth0`,
    ])
      await network.pod.run(['ip', ...words.split(' ')])
    await network.add()
    await using _ = await network.open()
    expect(Object.fromEntries(await network.askIpv4())).to.include({
      ip: '198.51.100.9',
      mask: '32',
      router: '169.254.1.1',
      staticroutes: '169.254.1.1/32 0.0.0.0 0.0.0.0/0 169.254.1.1',
    })
    expect(await network.readRouter()).to.deep.equal({
      address: gateway6,
      mac: 'ee:ee:ee:ee:ee:ee',
    })
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal('fd00:9::9')
    // Nothing but the router is on the link.
    const routes = await network.guest.run(['ip', '-6', 'route', 'show'])
    expect(routes).to.not.include('fd00:9::/64')
  })

  it('is told an IPv6 address where there is no other', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [6] })
    await network.add({ dns: DNS })
    await using _ = await network.open()
    expect(await network.readRouter()).to.deep.equal(await network.readGateway())
    expect(Object.fromEntries(await network.askIpv6('LL'))).to.include({
      new_ip6_address: network.addresses[0]?.split('/')[0],
      new_dhcp6_name_servers: 'fd00::10',
    })
  })

  it('renews its lease at the server, whose address is behind the gateway', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    // As some distributions have it, and pods inherit it.
    await network.pod.run(['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1'])
    await network.add()
    await using _ = await network.open()
    expect(await network.renewIpv4()).to.match(/renewed[^]*serverid=169\.254\.75\.10/)
  })

  it('takes over a primary link that its plugin gave another name', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4],
      link: 'ens3',
    })
    await network.add()
    await using _ = await network.open()
    expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    expect((await network.checkPrimary()).exitCode).to.equal(0)
  })

  it('takes over the link that the default routes were moved to, and leaves eth0 alone', async () => {
    await using network = await newPodNetwork(node, {
      plugin: 'bridge',
      families: [4],
      link: 'ovn-udn1',
    })
    for (const words of [
      'link add name eth0 type veth peer name far0',
      'address add 203.0.113.2/24 dev eth0',
      'link set dev eth0 up',
    ])
      await network.pod.run(['ip', ...words.split(' ')])
    await network.add()
    await using _ = await network.open()
    expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    expect(await network.pod.run(['tc', 'qdisc', 'show', 'dev', 'eth0'])).not.to.include('clsact')
    // By which the sidecar knows whose MAC the VM's NIC has.
    const tap = await network.pod.run(['ip', '-d', 'link', 'show', 'dev', 'tap0'])
    expect(tap).to.include('alias l2wire tap of ovn-udn1')
    expect((await network.bind('CHECK')).exitCode).to.equal(0)
  })

  it('has a tap again where an agent forgot one', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await node.stopAgent('SIGKILL')
    await rm(`${node.stateDir}/attachments/${CONTAINER}@net1.json`)
    await node.startAgent()
    await network.add()
    expect((await network.bind('CHECK')).exitCode).to.equal(0)
    await using _ = await network.open()
    expect((await network.askIpv4()).get('mask')).to.equal('24')
  })

  it('is told by a server for each of its links', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await using second = await newLabNetns('second')
    await network.add()
    const link = toPodLinkName('blue')
    const peer = 'type veth peer name blue0 netns'
    await network.pod.run(`ip link add ${link} ${peer} ${second.name}`.split(' '))
    for (const words of [
      `address add 203.0.113.5/24 dev ${link}`,
      `address add fd00:b::5/64 dev ${link} nodad`,
      `link set dev ${link} up`,
    ])
      await network.pod.run(['ip', ...words.split(' ')])
    const nad = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
    const bind = { ...nad, args: { cni: { logicNetworkName: 'blue' } } }
    const at = { containerID: CONTAINER, netns: network.pod.path, ifname: 'net2' }
    await node.mustCall(bind, { command: 'ADD', ...at })
    await node.mustCall({ ...bind, prevResult: {} }, { command: 'CHECK', ...at })
    expect((await readServers()).trim().split('\n')).to.have.length(2)
    const [{ address: mac = '' } = {}] = JSON.parse(
      await network.pod.run(['ip', '-j', 'link', 'show', 'dev', link]),
    ) as { address?: string }[]
    await using opened = new AsyncDisposableStack()
    opened.use(await network.open())
    opened.use(await openTap(network.pod, toTapName(link), second, mac))
    const [one, two] = await Promise.all([network.askIpv4(), askIpv4(second)])
    expect(one.get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    expect(Object.fromEntries(two)).to.include({ ip: '203.0.113.5', mask: '24' })
    expect(two.has('router'), 'there is none on that link').to.equal(false)
    await network.readRouter()
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(
      network.addresses[1]?.split('/')[0],
    )
    await node.mustCall(bind, { command: 'DEL', ...at })
    expect((await readServers()).trim().split('\n')).to.have.length(1)
    expect((await network.bind('CHECK')).exitCode).to.equal(0)
  })

  it('takes over the end of a wire that has an address', async () => {
    await using pod = await newLabNetns('launcher')
    const ipam = { type: 'host-local', subnet: RANGES[4].subnet, dataDir: `${node.folder}/wire` }
    const wire = { cniVersion: '1.0.0', name: 'w', type: 'l2wire', ipam }
    const nad = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
    const bind = { ...nad, args: { cni: { logicNetworkName: 'default' } } }
    const at = (ifname: string) => ({ containerID: 'c2', netns: pod.path, ifname })
    const prevResult = await node.mustCall(wire, { command: 'ADD', ...at('eth0') })
    await node.mustCall(bind, { command: 'ADD', ...at('net1') })
    expect(await readServers()).to.not.equal('')
    await node.mustCall({ ...wire, prevResult }, { command: 'CHECK', ...at('eth0') })
    await node.mustCall({ ...bind, prevResult: {} }, { command: 'CHECK', ...at('net1') })
    await pod.run(['tc', 'filter', 'del', 'dev', 'eth0', 'egress', 'pref', '2'])
    const check = await node.call({ ...bind, prevResult: {} }, { command: 'CHECK', ...at('net1') })
    expect(check.output?.['msg']).to.include('"eth0" is not mute')
    await node.mustCall(bind, { command: 'DEL', ...at('net1') })
    await node.mustCall(wire, { command: 'DEL', ...at('eth0') })
  })
})

function newLongFrame(to: string, from: string): Uint8Array {
  return concatBytes(fromHex(`${to} ${from} 88b5`), fromHex('6c'.repeat(1450)))
}

async function readServers(): Promise<string> {
  return run(['sh', '-c', 'pgrep -x dnsmasq || :'])
}
