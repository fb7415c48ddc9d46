// VMs straight on pod networks of one family, of further CNI plugins, and of a shape of which there is no plugin here.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import { readGuestNic, readPodNic, switchOnIpv6 } from '../../lab/guest-network.ts'
import { newCalicoShape } from '../../lab/pod-network-calico.ts'
import { newBridgeNetwork, newMacvlanNetwork, newPtpNetwork } from '../../lab/pod-network-shapes.ts'
import { newPodVm } from '../../lab/pod-scene.ts'
import { leavesNothing } from '../nothing-left.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  ask,
  askDhcpv6,
  DHCPCD_LOG,
  expectMute,
  expectPodsPlace,
  expectReached,
  expectReaches,
  expectTakesPlace,
} from '../pods-place.ts'

describe('VMs on pod networks', function () {
  this.timeout(300_000)
  leavesNothing()

  it("take their pod's place on a link of bridge, by dhclient; the pod itself is mute", async () => {
    await expectTakesPlace(await newBridgeNetwork(), 'dhclient')
  })

  it('have IPv6 alone where the link has no other family', async () => {
    await using on = await newPodVm(await newBridgeNetwork(['ipv6']))
    const { network, vm, guest, nic } = on
    await expectMute(on, async () => {
      await switchOnIpv6(guest, nic)
      await guest.run(`ip link set ${nic} up`)
      await askDhcpv6(guest, nic)
      await expectPodsPlace(on)
      const { addresses } = await readPodNic(vm.netns, 'eth0')
      expect(addresses).to.have.length(1)
      expect((await readGuestNic(guest, nic)).addresses).to.deep.equal(addresses)
      await expectReached(on)
      await expectReaches(on)
      // By the router, which is the gateway itself.
      await guest.run('ping -c 1 -W 2 fd00:75::1')
    })
    await network.check(vm.sandbox)
  })

  it("take their pod's place on a link of ptp, by dhcpcd", async () => {
    await expectTakesPlace(await newPtpNetwork(), 'dhcpcd')
  })

  it("take their pod's place on a link of macvlan, by dhclient", async () => {
    await expectTakesPlace(await newMacvlanNetwork(), 'dhclient')
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
