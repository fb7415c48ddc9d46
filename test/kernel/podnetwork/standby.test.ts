// Without a cluster: a sandbox that is said to be a migration's target takes a pod link over only if that has what
// the VM has.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Manifest } from '../../../lab/manifests.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { GUEST_NIC } from '../../../lab/tap-opener.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { newPodNetwork } from '../fixture-pod-network.ts'

const MAC = '02:00:5e:00:53:07'

function toStandby(...ips: readonly string[]): Manifest {
  return { args: { cni: { logicNetworkName: 'default', standby: true, mac: MAC, ips } } }
}

describe("a migration's target on a pod network", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('is refused by error 114 with another address, and nothing of it stays; not with the same', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    const [ipv4 = '', ipv6 = ''] = network.addresses.map((one) => one.split('/')[0] ?? '')
    for (const [ips, words] of [
      [['198.51.100.99', ipv6], `here it would have ${ipv4}, expected 198.51.100.99, with which`],
      [[ipv4], `here it would have ${ipv6}, expected no IPv6 address, with which it runs`],
    ] as const) {
      const { output } = await network.bind('ADD', toStandby(...ips))
      expect(output).to.include({ code: 114 })
      expect(output?.['msg']).to.include(words)
      const links = await network.pod.run(['ip', '-br', 'link', 'show'])
      expect(links).to.not.match(/tap0|lws0/)
      expect(await network.pod.run(['tc', 'filter', 'show', 'dev', 'eth0', 'egress'])).to.equal('')
      expect(await node.listDocuments()).to.deep.equal([])
    }
    await network.add(toStandby(ipv4, ipv6))
    await using _ = await network.open()
    await network.guest.run(['ip', 'link', 'set', 'dev', GUEST_NIC, 'address', MAC])
    expect((await network.askIpv4()).get('ip')).to.equal(ipv4)
  })
})
