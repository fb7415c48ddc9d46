// A real VM straight on a pod network of Debian's bridge plugin, configured by the DHCP client of a stock Debian.
// One family alone, other plugins, and what takes longer, are in test/lab/pod-network.test.ts.
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
} from '../pods-place.ts'

describe('VMs on pod networks', function () {
  this.timeout(120_000)
  leavesNothing()

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
})
