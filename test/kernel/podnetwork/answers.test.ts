// What a VM's DHCP server says to questions of a client that is not as it should be, and how whole what it
// says arrives.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toServerNames } from '../../../core/name.ts'
import { SERVER_ADDRESS } from '../../../core/podnetwork/plan.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { GUEST_NIC } from '../../../lab/tap-opener.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { findFault } from '../fixture-checksum.ts'
import {
  ask4,
  ask6,
  findLifetimes,
  findServerId,
  listStatuses,
  STATUS6,
  tell4,
  V4,
  V6,
} from '../fixture-dhcp.ts'
import { newPodNetwork, type PodNetwork } from '../fixture-pod-network.ts'

/** Of the pod network, and not this pod's; the last of another one. */
const OTHERS6 = ['fd00:9::77', 'fd00:9:0:0:1::2', 'fd00:a::2']
const OTHERS4 = ['198.51.100.77', '203.0.113.2']
const [, SERVER_PEER] = Object.values(toServerNames('tap0'))
/** Preferred and valid: not at all. */
const NEVER = '0'.repeat(16)

const own = (network: PodNetwork, family: 4 | 6): string =>
  network.addresses.find((one) => one.includes(family === 6 ? ':' : '.'))?.split('/')[0] ?? ''

describe("a VM's DHCP server", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('sums up what it says, whatever its guest could do', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    await using _ = await network.open()
    const peer = { label: 'server', netns: network.pod.path, ifname: SERVER_PEER ?? '' }
    await using heard = await newNetnsStation(run, peer).startCapture()
    // The guest's stack may have learnt of its router before anybody listened: it is to ask once more.
    for (const off of [1, 0])
      await network.guest.run(['sysctl', '-qw', `net.ipv6.conf.${GUEST_NIC}.disable_ipv6=${off}`])
    await network.askIpv4()
    await network.askIpv6('LL')
    await network.readRouter()
    const frames = await heard.stop()
    const hex = frames.map((frame) => Buffer.from(frame).toString('hex'))
    for (const [name, pattern] of [
      ['DHCP', /^.{68}00430044/],
      ['DHCPv6', /^.{108}02230222/],
      ['a router advertisement', /^.{40}3a.{66}86/],
    ] as const)
      expect(hex.filter((one) => pattern.test(one)).length, name).to.be.greaterThan(0)
    expect(frames.flatMap((frame) => findFault(frame) ?? [])).to.deep.equal([])
  })

  it('gives and confirms the one IPv6 address, and no other', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [6] })
    await network.add()
    await using _ = await network.open()
    const mine = own(network, 6)
    for (const other of OTHERS6) {
      // Of a link where any host of the network may be, each of these would be.
      const confirmed = await ask6(network, { type: V6.confirm, addresses: [other] })
      expect(listStatuses(confirmed), `CONFIRM ${other}`).to.deep.equal([STATUS6.notOnLink])
      const both = await ask6(network, { type: V6.confirm, addresses: [mine, other] })
      expect(listStatuses(both), `CONFIRM of two`).to.deep.equal([STATUS6.notOnLink])
      const rebound = await ask6(network, { type: V6.rebind, addresses: [other] })
      expect(listStatuses(rebound), `REBIND ${other}`).to.deep.equal([STATUS6.notOnLink])
      expect(findLifetimes(rebound, other), `REBIND ${other}`).to.equal(undefined)
      const offered = await ask6(network, { type: V6.solicit, addresses: [other] })
      expect(findLifetimes(offered, other), `SOLICIT ${other}`).to.equal(undefined)
      expect(findLifetimes(offered, mine), `SOLICIT ${other}`).to.match(/[^0]/)
      const serverId = findServerId(offered)
      for (const type of [V6.request, V6.renew]) {
        const given = await ask6(network, { type, addresses: [other], serverId })
        expect(findLifetimes(given, other) ?? NEVER, `${type} ${other}`).to.equal(NEVER)
        expect(listStatuses(given), `${type} ${other}`).to.not.be.empty
      }
    }
    const quick = await ask6(network, { type: V6.solicit, addresses: OTHERS6, isRapid: true })
    expect(findLifetimes(quick, mine)).to.match(/[^0]/)
    for (const other of OTHERS6) expect(findLifetimes(quick, other)).to.equal(undefined)
    const confirmed = await ask6(network, { type: V6.confirm, addresses: [mine] })
    expect(listStatuses(confirmed)).to.deep.equal([STATUS6.success])
    const rebound = await ask6(network, { type: V6.rebind, addresses: [mine] })
    expect(findLifetimes(rebound, mine)).to.match(/[^0]/)
  })

  it('gives and renews the one IPv4 address, and no other', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await using _ = await network.open()
    const mine = own(network, 4)
    for (const other of OTHERS4) {
      const offered = await ask4(network, { type: V4.discover, asked: other })
      expect(offered).to.deep.equal({ type: V4.offer, address: mine })
      // After a reboot; at the second half of a lease; of an offer by somebody else.
      for (const words of [{ asked: other }, { own: other }, { asked: other, server: other }])
        expect((await ask4(network, { type: V4.request, ...words })).type).to.equal(V4.nak)
    }
    expect(await ask4(network, { type: V4.request, asked: mine })).to.deep.equal({
      type: V4.ack,
      address: mine,
    })
  })

  it('offers again what was declined, however often, and is not started anew each time', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    await using _ = await network.open()
    const [mine4, mine6] = [own(network, 4), own(network, 6)]
    // For either reason: what was declined is refused meanwhile.
    const countRestarts = (): number =>
      node.readLog().split(/declined its address|forgets what it gave/).length - 1
    const before = countRestarts()
    const since = performance.now()
    for (let times = 1; times <= 3; times += 1) {
      const serverId = findServerId(await ask6(network, { type: V6.solicit }))
      await ask6(network, { type: V6.decline, addresses: [mine6], serverId })
      expect(findLifetimes(await ask6(network, { type: V6.solicit }), mine6)).to.match(/[^0]/)
      for (let again = 1; again <= 10; again += 1)
        await tell4(network, { type: V4.decline, asked: mine4, server: SERVER_ADDRESS })
      expect(await ask4(network, { type: V4.discover })).to.deep.equal({
        type: V4.offer,
        address: mine4,
      })
    }
    const most = 2 + (performance.now() - since) / 5_000
    expect(countRestarts() - before).to.be.within(2, most)
    const told = await network.askIpv6('LLT')
    expect(told.get('new_ip6_address')).to.equal(mine6)
  })
})
