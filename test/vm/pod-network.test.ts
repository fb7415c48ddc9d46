// Real VMs straight on pod networks of other CNI plugins, configured by the DHCP clients of a stock Debian.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import type { Guest } from '../../lab/guest.ts'
import { readGuestNic, readPodNic, switchOnIpv6 } from '../../lab/guest-network.ts'
import { newCalicoShape } from '../../lab/pod-network-calico.ts'
import {
  newBridgeNetwork,
  newMacvlanNetwork,
  newPtpNetwork,
  POD_MTU,
} from '../../lab/pod-network-shapes.ts'
import { newPodVm, type PodVm } from '../../lab/pod-scene.ts'
import { watchPod } from '../../lab/pod-watch.ts'
import { listTraces } from '../../lab/traces.ts'
import { expectSoon } from '../expect-soon.ts'

const IPV4 = /^[\d.]+$/
const DHCP_MS = 30_000

const DHCPCD_LOG = '/tmp/dhcpcd-said'

/** Each leaves a daemon behind, which renews. */
const CLIENTS = {
  dhclient: (nic: string) => `dhclient -1 ${nic}`,
  dhcpcd: (nic: string) =>
    `dhcpcd --ipv4only --waitip=4 --timeout 20 --logfile ${DHCPCD_LOG} ${nic}`,
}
type Client = keyof typeof CLIENTS

async function ask(guest: Guest, client: Client, nic: string): Promise<void> {
  await guest.run(
    `${CLIENTS[client](nic)} >/tmp/${client}.log 2>&1 || { cat /tmp/${client}.log >&2; exit 1; }`,
    {
      timeoutMs: DHCP_MS,
    },
  )
}

const isIpv4Route = (route: string): boolean => !route.includes(':')

/** The VM's NIC is what its pod's link is, as the plugin made it. */
async function expectPodsPlace({ vm, guest, nic }: PodVm, podLink = 'eth0'): Promise<void> {
  const pod = await readPodNic(vm.netns, podLink)
  const own = await readGuestNic(guest, nic)
  expect(own.mac).to.equal(pod.mac)
  expect(own.mtu).to.equal(pod.mtu)
  expect(own.addresses.filter((one) => IPV4.test(one))).to.deep.equal(
    pod.addresses.filter((one) => IPV4.test(one)),
  )
  expect(own.routes.filter(isIpv4Route)).to.deep.equal(pod.routes.filter(isIpv4Route))
}

async function expectReached({ vm, guest, other }: PodVm, podLink = 'eth0'): Promise<void> {
  const { addresses } = await readPodNic(vm.netns, podLink)
  await guest.run(
    'mkdir -p /srv; echo served by the VM >/srv/index.html; pidof httpd || httpd -h /srv',
  )
  for (const address of addresses) {
    await other.run(['busybox', 'ping', '-c', '2', '-W', '2', address])
    const host = IPV4.test(address) ? address : `[${address}]`
    const page = await other.run(['busybox', 'wget', '-q', '-O', '-', `http://${host}/`])
    expect(page).to.equal('served by the VM\n')
  }
}

async function expectReaches({ guest, other }: PodVm): Promise<void> {
  const { addresses } = await readPodNic(other, 'eth0')
  for (const address of addresses) await guest.run(`ping -c 2 -W 2 ${address}`)
}

/** Whatever comes out at the far side the guest sent, while the pod's own stack tries to be heard. */
async function expectMute(on: PodVm, meanwhile: () => Promise<void>): Promise<void> {
  await using watch = await watchPod(on)
  await meanwhile()
  const { heard, strange, dhcp } = await watch.stop()
  expect(strange, 'frames that the guest did not send').to.deep.equal([])
  expect(heard, 'frames of the guest').to.be.greaterThan(0)
  expect(dhcp, 'DHCP that left the pod').to.deep.equal([])
}

describe('VMs on pod networks', function () {
  this.timeout(120_000)
  let traces: readonly string[]

  before(async () => {
    traces = await listTraces()
  })
  after(async () => {
    expect(await listTraces()).to.deep.equal(traces)
  })

  const rows = [
    { plugin: 'bridge', open: newBridgeNetwork, client: 'dhclient' },
    { plugin: 'ptp', open: newPtpNetwork, client: 'dhcpcd' },
    { plugin: 'macvlan', open: newMacvlanNetwork, client: 'dhclient' },
  ] as const
  for (const { plugin, open, client } of rows)
    it(`take their pod's place on a link of "${plugin}", by ${client}; the pod itself is mute`, async () => {
      await using on = await newPodVm(await open())
      const { network, vm, guest, nic } = on
      await expectMute(on, async () => {
        await ask(guest, client, nic)
        await expectPodsPlace(on)
        await expectReached(on)
        await expectReaches(on)
        await guest.run('ping -c 1 -W 2 10.75.0.1')
      })
      const resolver = await guest.run('cat /etc/resolv.conf')
      expect(resolver).to.include('nameserver 10.96.0.10\n')
      expect(resolver).to.match(/^search default\.svc\.cluster\.local\.? svc\.cluster\.local\.? /m)
      // dhcpcd takes the domain into it.
      const [host] = (await guest.run('hostname')).trim().split('.')
      expect(host).to.equal('virt-launcher-r1-x7f2k')
      expect((await readGuestNic(guest, nic)).mtu).to.equal(POD_MTU)
      await network.check(vm.sandbox)
    })

  it('have both families where the link has them, by dhclient and router advertisements', async () => {
    await using on = await newPodVm(await newBridgeNetwork(['ipv4', 'ipv6']))
    const { network, vm, guest, nic } = on
    await expectMute(on, async () => {
      await switchOnIpv6(guest, nic)
      await ask(guest, 'dhclient', nic)
      await expectSoon('a router is known', async () =>
        (await readGuestNic(guest, nic)).routes.some((route) =>
          route.startsWith('default via fe80:'),
        ),
      )
      await guest.run(`dhclient -6 -1 ${nic}`, { timeoutMs: DHCP_MS })
      await expectPodsPlace(on)
      const pod = await readPodNic(vm.netns, 'eth0')
      const own = await readGuestNic(guest, nic)
      expect(own.addresses).to.deep.equal(pod.addresses)
      expect(own.addresses).to.have.length(2)
      await expectReached(on)
      await expectReaches(on)
    })
    await network.check(vm.sandbox)
  })

  it('go on while the agent is away, renew when it is back, and have the same address after a reboot', async () => {
    await using on = await newPodVm(await newBridgeNetwork())
    const { node, vm, guest, nic, other } = on
    await ask(guest, 'dhcpcd', nic)
    const { addresses } = await readGuestNic(guest, nic)
    const pinging = other.run(['busybox', 'ping', '-c', '60', '-i', '0.05', addresses.join()])
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    expect(await pinging).to.include('60 packets received, 0% packet loss')
    await guest.run(`dhcpcd --ipv4only --renew ${nic}`)
    await expectSoon('the lease is renewed', async () => {
      const said = await guest.run(`cat ${DHCPCD_LOG}`)
      return /, renewing[^]*leased 10\.75\./.test(said)
    })
    await expectPodsPlace(on)
    await expectReached(on)
    await guest.run('touch /tmp/before')
    guest.close()
    await vm.launcher.virsh(['reset', 'default_r1'])
    await using again = await vm.launcher.connectGuest()
    expect((await again.exec('test -e /tmp/before')).code, 'it booted anew').to.equal(1)
    await ask(again, 'dhclient', nic)
    await expectPodsPlace({ ...on, guest: again })
  })

  it('have a gateway that no subnet contains, as Calico gives; and a second NIC of another plugin', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'l2w-ipam-'))
    try {
      const ipam = { type: 'host-local', subnet: '10.77.0.0/24', dataDir }
      const lan = { cniVersion: '1.0.0', name: 'lan', type: 'bridge', bridge: 'l2wlan', ipam }
      await using on = await newPodVm(await newCalicoShape(), { lan: { ...lan, isGateway: true } })
      const { network, vm, guest, nic } = on
      await expectMute(on, async () => {
        await ask(guest, 'dhclient', nic)
        await expectPodsPlace(on)
        await expectReached(on)
        await expectReaches(on)
      })
      await network.check(vm.sandbox)
      expect((await readGuestNic(guest, nic)).routes).to.deep.equal([
        '169.254.1.1',
        'default via 169.254.1.1',
      ])
      const second = (await guest.nics())[1]?.name ?? ''
      await ask(guest, 'dhclient', second)
      await expectPodsPlace({ ...on, nic: second }, toPodLinkName('lan'))
      await guest.run('ping -c 2 -W 2 10.77.0.1')
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
