// What is to be seen of a VM in its pod's place, whoever made the pod network and whichever DHCP client of a
// stock Debian asks.
import { expect } from 'chai'

import type { Guest } from '../lab/guest.ts'
import { readGuestNic, readPodNic } from '../lab/guest-network.ts'
import { POD_MTU } from '../lab/pod-network-shapes.ts'
import type { PodNetwork } from '../lab/pod-network.ts'
import { newPodVm, type PodVm } from '../lab/pod-scene.ts'
import { watchPod } from '../lab/pod-watch.ts'
import { expectSoon } from './expect-soon.ts'

const IPV4 = /^[\d.]+$/
export const DHCP_MS = 120_000

export const DHCPCD_LOG = '/tmp/dhcpcd-said'

/** Each leaves a daemon behind, which renews. */
const CLIENTS = {
  dhclient: (nic: string) => `dhclient -1 ${nic}`,
  dhcpcd: (nic: string) =>
    `dhcpcd --ipv4only --waitip=4 --timeout 90 --logfile ${DHCPCD_LOG} ${nic}`,
}
export type Client = keyof typeof CLIENTS

export async function ask(guest: Guest, client: Client, nic: string): Promise<void> {
  await guest.run(
    `${CLIENTS[client](nic)} >/tmp/${client}.log 2>&1 || { cat /tmp/${client}.log >&2; exit 1; }`,
    {
      timeoutMs: DHCP_MS,
    },
  )
}

/** By DHCPv6, once a router is known, which alone says the way, and dhclient has an address to ask from. */
export async function askDhcpv6(guest: Guest, nic: string): Promise<void> {
  await expectSoon('a router is known', async () =>
    (await readGuestNic(guest, nic)).routes.some((route) => route.startsWith('default via fe80:')),
  )
  const own = `/usr/sbin/ip -6 -o address show dev ${nic} scope link -tentative`
  await expectSoon("the NIC's own address is ready", async () => (await guest.run(own)) !== '')
  const log = '/tmp/dhclient6.log'
  const script = `dhclient -6 -1 ${nic} >${log} 2>&1 || { cat ${log} >&2; exit 1; }`
  await guest.run(script, { timeoutMs: DHCP_MS })
}

const isIpv4Route = (route: string): boolean => !route.includes(':')

/** The VM's NIC is what its pod's link is, as the plugin made it. */
export async function expectPodsPlace({ vm, guest, nic }: PodVm, podLink = 'eth0'): Promise<void> {
  const pod = await readPodNic(vm.netns, podLink)
  const own = await readGuestNic(guest, nic)
  expect(own.mac).to.equal(pod.mac)
  expect(own.mtu).to.equal(pod.mtu)
  expect(own.addresses.filter((one) => IPV4.test(one))).to.deep.equal(
    pod.addresses.filter((one) => IPV4.test(one)),
  )
  expect(own.routes.filter(isIpv4Route)).to.deep.equal(pod.routes.filter(isIpv4Route))
}

export async function expectReached({ vm, guest, other }: PodVm, podLink = 'eth0'): Promise<void> {
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

export async function expectReaches({ guest, other }: PodVm): Promise<void> {
  const { addresses } = await readPodNic(other, 'eth0')
  for (const address of addresses) await guest.run(`ping -c 2 -W 2 ${address}`)
}

/** Whatever comes out at the far side the guest sent, while the pod's own stack tries to be heard. */
export async function expectMute(on: PodVm, meanwhile: () => Promise<void>): Promise<void> {
  await using watch = await watchPod(on)
  await meanwhile()
  const { heard, strange, dhcp } = await watch.stop()
  expect(strange, 'frames that the guest did not send').to.deep.equal([])
  expect(heard, 'frames of the guest').to.be.greaterThan(0)
  expect(dhcp, 'DHCP that left the pod').to.deep.equal([])
}

/** A VM on the network, configured by the client, has what its pod has, is reached and reaches, alone. */
export async function expectTakesPlace(opened: PodNetwork, client: Client): Promise<void> {
  await using on = await newPodVm(opened)
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
}
