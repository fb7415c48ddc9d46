// The network data of a VM on a pod link that Debian's CNI plugins made and the agent took over: mute, and with
// a DHCP server beside it. What cloud-init is told is what DHCP tells.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { NETWORK_DATA_ANNOTATION } from '../../core/domain/network-data-vmi.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { leavesNothing } from '../nothing-left.ts'
import { newSidecar } from '../process/sidecar-process.ts'
import { newPodNetwork, RANGES, type PodNetwork } from './fixture-pod-network.ts'

const AS_QEMU =
  'setpriv --reuid 107 --regid 107 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs'
const VMI = {
  metadata: { annotations: { [NETWORK_DATA_ANNOTATION]: 'true' } },
  spec: {
    domain: { devices: { interfaces: [{ name: 'default', binding: { name: 'l2wire' } }] } },
    networks: [{ name: 'default', pod: {} }],
  },
}
const DATA = { DataSource: 'noCloud', UserData: '#cloud-config', NetworkData: '' }

describe('the network data of a VM on a pod network', function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  for (const { plugin, isOnLink } of [
    { plugin: 'bridge', isOnLink: false },
    { plugin: 'ptp', isOnLink: true },
  ] as const)
    it(`is what ${plugin} and host-local gave the pod`, async () => {
      await using network = await newPodNetwork(node, { plugin, families: [4, 6] })
      await network.add()
      await using sidecar = newSidecar({ prefix: toPrefix(network) })
      const { addresses, routes, match, mtu } = await askFor(sidecar)
      expect({ match, mtu }).to.eql({ match: { macaddress: network.mac }, mtu: 1450 })
      expect(addresses).to.eql(isOnLink ? network.addresses.map(toAlone) : network.addresses)
      const onLink = isOnLink ? { 'on-link': true } : {}
      for (const { route, gateway } of [RANGES[4], RANGES[6]])
        expect(routes).to.deep.include({ to: route, via: gateway, ...onLink })
    })

  it('has no default route where that has no next hop, and the log says so', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.pod.run('ip route replace default dev eth0'.split(' '))
    await network.add()
    await using sidecar = newSidecar({ prefix: toPrefix(network) })
    const { routes } = await askFor(sidecar)
    expect(routes).to.equal(undefined)
    expect(sidecar.log()).to.include('a default route without a next hop')
    await using _ = await network.open()
    expect((await network.askIpv4()).get('staticroutes')).to.equal('0.0.0.0/0 0.0.0.0')
  })
})

function toPrefix({ pod }: PodNetwork): readonly string[] {
  return ['ip', 'netns', 'exec', pod.name, ...AS_QEMU.split(' ')]
}

/** What the VM's one NIC is told. */
async function askFor(sidecar: ReturnType<typeof newSidecar>): Promise<Ethernet> {
  const client = await sidecar.connect()
  const { cloudInitData } = await client.preCloudInitIso('v1alpha3', {
    vmi: Buffer.from(JSON.stringify(VMI)),
    cloudInitData: Buffer.from(JSON.stringify(DATA)),
    cloudInitNoCloudSource: Buffer.of(),
  })
  const { NetworkData } = JSON.parse(cloudInitData.toString()) as typeof DATA
  const document = JSON.parse(NetworkData) as { ethernets: { default: Ethernet } }
  return document.ethernets.default
}

/** With no neighbours on the link. */
function toAlone(address: string): string {
  return `${address.split('/')[0]}/${address.includes(':') ? 128 : 32}`
}

interface Ethernet {
  readonly match: object
  readonly mtu: number
  readonly addresses: readonly string[]
  readonly routes: readonly object[]
}
