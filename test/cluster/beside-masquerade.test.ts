// A VM with a NIC of KubeVirt's binding masquerade and one of ours on a link with addresses: two DHCP servers
// in one launcher, KubeVirt's by its own code, each on the same ports. Each NIC hears its own alone.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import { ensureDhcpServers } from '../../lab/cluster-hooks.ts'
import { startDaemon, type Daemon } from '../../lab/daemon.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { GUEST_NIC } from '../../lab/tap-opener.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  askIpv4,
  askIpv6,
  newPodNetwork,
  renewIpv4,
  type PodNetwork,
} from '../kernel/fixture-pod-network.ts'
import { leavesNothing } from '../nothing-left.ts'

// As pkg/network/setup/netpod/masquerade names and numbers them, v1.9.0.
const BRIDGE = 'k6t-eth0'
const BRIDGE_MAC = '02:00:00:00:00:00'
const MASQUERADED = {
  mac: '02:00:5e:00:53:77',
  ipv4: '10.0.2.2',
  gateway4: '10.0.2.1',
  ipv6: 'fd10:0:2::2',
  gateway6: 'fd10:0:2::1',
}

/** KubeVirt's bridge in the launcher, with the NIC's cable where its tap would be. */
async function joinMasqueraded(pod: LabNetns, guest: LabNetns): Promise<void> {
  const { mac, gateway4, gateway6 } = MASQUERADED
  for (const words of [
    `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge`,
    `link add vm0 type veth peer name ${GUEST_NIC} netns ${guest.name}`,
    `link set dev vm0 master ${BRIDGE} up`,
    `address add ${gateway4}/24 dev ${BRIDGE}`,
    `address add ${gateway6}/120 dev ${BRIDGE} nodad`,
    `link set dev ${BRIDGE} up`,
  ])
    await pod.run(['ip', ...words.split(' ')])
  await guest.run(`ip link set dev ${GUEST_NIC} address ${mac} up`.split(' '))
}

async function serve(pod: LabNetns): Promise<Daemon> {
  const { mac, ipv4, gateway4, ipv6 } = MASQUERADED
  const words = [await ensureDhcpServers(), BRIDGE, mac, `${ipv4}/24`, gateway4, ipv6]
  const daemon = startDaemon(['nsenter', `--net=${pod.path}`, ...words])
  await expectSoon('both listen', async () => {
    daemon.expectAlive()
    const said = await pod.run(['ss', '-Hlunp'])
    return said.split('\n').filter((line) => line.includes(`pid=${daemon.pid},`)).length === 2
  })
  return daemon
}

/** MACs that a NIC was sent answers of DHCP by, of either family. */
async function listServers(nic: Station, meanwhile: () => Promise<void>): Promise<string[]> {
  await using capture = await nic.startCapture()
  await meanwhile()
  const frames = (await capture.stop()).map((frame) => Buffer.from(frame).toString('hex'))
  const answers = frames.filter((hex) => /^.{24}(0800.{40}0043|86dd.{80}0223)/.test(hex))
  return [...new Set(answers.map((hex) => hex.slice(12, 24)))]
}

function toDigits(mac: string): string {
  return mac.replaceAll(':', '')
}

async function expectOwnAnswers(network: PodNetwork, guest: LabNetns): Promise<void> {
  const other = newNetnsStation(run, { label: 'other', netns: guest.path, ifname: GUEST_NIC })
  const { mac: server } = await network.readGateway()
  const ofOurs = listServers(network.nic, async () => {
    expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(
      network.addresses[1]?.split('/')[0],
    )
  })
  const ofTheirs = listServers(other, async () => {
    expect((await askIpv4(guest)).get('ip')).to.equal(MASQUERADED.ipv4)
    expect((await askIpv6(guest, 'LL')).get('new_ip6_address')).to.equal(MASQUERADED.ipv6)
  })
  expect(await Promise.all([ofOurs, ofTheirs])).to.deep.equal([
    [toDigits(server)],
    [toDigits(BRIDGE_MAC)],
  ])
}

describe("a NIC of ours beside one of KubeVirt's masquerade", function () {
  this.timeout(180_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('each is answered by its own DHCP server, whichever of them began first', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await using guest = await newLabNetns('masqueraded')
    await guest.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0'])
    const { pod } = network
    await joinMasqueraded(pod, guest)
    await network.add()
    await using _ = await network.open()
    const daemon = await serve(pod)
    try {
      await expectOwnAnswers(network, guest)
      // To one address, which both have a socket for.
      expect(await network.renewIpv4()).to.match(/renewed[^]*serverid=169\.254\.75\.10/)
      expect(await renewIpv4(guest)).to.match(/renewed[^]*serverid=10\.0\.2\.1/)
      await node.stopAgent('SIGKILL')
      await node.startAgent()
      await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      await expectOwnAnswers(network, guest)
      daemon.expectAlive()
    } finally {
      await daemon.end('SIGKILL')
    }
  })
})
