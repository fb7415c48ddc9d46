// Real VMs straight on pod networks of Debian's bridge plugin, configured by the DHCP client of a stock Debian.
// Other plugins, and what takes longer, are in test/lab/pod-network.test.ts.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { readGuestNic, readPodNic, switchOnIpv6 } from '../../lab/guest-network.ts'
import { newBridgeNetwork } from '../../lab/pod-network-shapes.ts'
import { newPodVm } from '../../lab/pod-scene.ts'
import { leavesNothing } from '../nothing-left.ts'
import {
  ask,
  askDhcpv6,
  expectMute,
  expectPodsPlace,
  expectReached,
  expectReaches,
  expectTakesPlace,
} from '../pods-place.ts'

describe('VMs on pod networks', function () {
  this.timeout(120_000)
  leavesNothing()

  it("take their pod's place by dhclient; the pod itself is mute", async () => {
    await expectTakesPlace(await newBridgeNetwork(), 'dhclient')
  })

  it('have both families where the link has them, by dhclient and router advertisements', async () => {
    await using on = await newPodVm(await newBridgeNetwork(['ipv4', 'ipv6']))
    const { network, vm, guest, nic } = on
    await expectMute(on, async () => {
      await switchOnIpv6(guest, nic)
      await ask(guest, 'dhclient', nic)
      await askDhcpv6(guest, nic)
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
})
