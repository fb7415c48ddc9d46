// What a VM's DHCP server knows of a lease that an earlier one gave: the agent's before, another pod's.
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { ask6, findLifetimes, listStatuses, STATUS6, V6 } from '../fixture-dhcp.ts'
import { CONTAINER, newPodNetwork, type PodNetwork } from '../fixture-pod-network.ts'

const toDigits = (colons = ''): string =>
  colons
    .split(':')
    .map((byte) => byte.padStart(2, '0'))
    .join('')

/** The question of a client whose script was told this, as RFC 8415 has it for the first half of a lease. */
async function renew(network: PodNetwork, told: ReadonlyMap<string, string>): Promise<string> {
  return ask6(network, {
    type: V6.renew,
    clientId: toDigits(told.get('new_dhcp6_client_id')),
    serverId: toDigits(told.get('new_dhcp6_server_id')),
    iaid: toDigits(told.get('new_iaid')),
    addresses: [told.get('new_ip6_address') ?? ''],
  })
}

describe("a VM's lease", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('of IPv6 is renewed by the server of the next agent, and forgotten with the VM', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [6] })
    await network.add()
    await using _ = await network.open()
    const told = await network.askIpv6('LL')
    const address = told.get('new_ip6_address') ?? ''
    const folder = join(node.stateDir, 'leases')
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await node.stopAgent(signal)
      // Of a sandbox that went while no agent was there.
      await writeFile(join(folder, 'c0@net1'), 'duid 00:00:6c:32\n')
      await node.startAgent()
      await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      const answer = await renew(network, told)
      expect(findLifetimes(answer, address)).to.match(/[^0]/)
      expect(listStatuses(answer)).to.not.include(STATUS6.noBinding)
    }
    // Another client that the first one's lease stands in the way of, as a system after its boot loader.
    expect((await network.askIpv6('LLT')).get('new_ip6_address')).to.equal(
      told.get('new_ip6_address'),
    )
    expect(await readdir(folder)).to.deep.equal([`${CONTAINER}@net1`])
    expect((await network.bind('DEL')).exitCode).to.equal(0)
    expect(await readdir(folder)).to.deep.equal([])
  })

  it('is given all the same where it cannot be kept, and its VM is let go', async () => {
    await using other = await newLabNode()
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [6] })
    await writeFile(join(other.stateDir, 'leases'), 'no folder')
    await network.add()
    await expectLogged(other, 'cannot keep its leases on disk')
    await using _ = await network.open()
    const address = network.addresses[0]?.split('/')[0]
    expect((await network.askIpv6('LL')).get('new_ip6_address')).to.equal(address)
    expect((await network.bind('DEL')).exitCode).to.equal(0)
  })

  it('of another pod is refused, and the client asks anew, as dhclient does with what is on its disk', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await using _ = await network.open()
    const said = await network.askWithOldLease('198.51.100.77')
    const ip = network.addresses[0]?.split('/')[0] ?? ''
    expect(said).to.match(/DHCPREQUEST for 198\.51\.100\.77 [^]*DHCPNAK from [^]*DHCPDISCOVER on/)
    expect(said).to.include(`\nnew_ip_address=${ip}\n`).and.include('\nreason=BOUND\n')
  })
})
