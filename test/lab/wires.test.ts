// A VM whose NIC is there before its cable's far end, and one on a pod link that is not ours.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { testCable } from '../../kernel/tester/cable-test.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import { callPlugin } from '../../lab/cni.ts'
import { plugContainer, readVm, readWireConfig } from '../../lab/demo-scene.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newLabNode } from '../../lab/node.ts'
import { newVmPod } from '../../lab/vm-pod.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { leavesNothing } from '../nothing-left.ts'

const ZERO = '00:00:00:00:00:00'
/** What any Ethernet carries, a bridge too, and what a bridge of 1500 bytes has room for. */
const BRIDGE_ROWS = FRAME_ROWS.filter(({ name }) =>
  ['broadcast', 'unicast to the other NIC', 'ARP', '60 bytes', '1514 bytes', 'MPLS'].includes(name),
)

describe('VMs', function () {
  this.timeout(300_000)
  leavesNothing()

  it('boot with their NIC before the far end is plugged; the sidecar adds what KubeVirt left out', async () => {
    await using node = await newLabNode()
    const config: Manifest = { ...(await readWireConfig()), mtu: 1400 }
    const name = String(config['name'])
    const bindings = { l2wire: { sidecar: 'dist/bin/l2wire-sidecar' } }
    const vm = await readVm('r7', { ge0: name })
    await using r7 = await newVmPod({ node, vm, networks: { [name]: config }, bindings })
    expect(r7.launcher.generatedXml, 'nothing generated without an attachment type').to.not.include(
      'ua-ge0',
    )
    const guest = await r7.getGuest()
    const nics = await guest.nics()
    expect(
      nics.map(({ mtu }) => mtu),
      'mgmt as ever, ge0 told the advertised MTU',
    ).to.deep.equal([1500, 1400])
    const podLink = toPodLinkName('ge0')
    const link = await r7.netns.run(['ip', '-o', 'link', 'show', 'dev', podLink])
    expect(link, 'the pod link carries all of it, whatever the VM is told').to.include('mtu 9216')
    expect(r7.launcher.definedXml).to.match(/<mtu size=["']1400["']/)
    // The order of the VMI's interfaces is the order of the guest's NICs.
    expect(r7.launcher.definedXml).to.match(/ua-mgmt[\s\S]*ua-ge0/)
    await using far = await newLabNetns('far', { ipv6: false })
    const b = await plugContainer(node, far, 'h7', config)
    const rows = FRAME_ROWS.filter((row) =>
      row.frames({ sender: ZERO, receiver: ZERO }).every((frame) => frame.length <= 1414),
    )
    expect(rows.length).to.be.greaterThan(30)
    await expectTransparent(await r7.getStation('ge0'), b, { rows, idleSeconds: 3 })
  })

  it("are attached straight to a pod link of Debian's bridge plugin", async () => {
    await using node = await newLabNode()
    const config = { cniVersion: '1.0.0', name: 'other', type: 'bridge', bridge: 'l2wvm0' }
    try {
      const vm = await readVm('r8', { lan: 'other' })
      await using r8 = await newVmPod({ node, vm, networks: { other: config } })
      await using far = await newLabNetns('far', { ipv6: false })
      const call = { command: 'ADD', containerID: far.name, netns: far.path, ifname: 'eth1' }
      expect(
        (await callPlugin('/usr/lib/cni/bridge', call, JSON.stringify(config))).exitCode,
      ).to.equal(0)
      const b = newNetnsStation(run, { label: 'far', netns: far.path, ifname: 'eth1' })
      // A bridge's own stack may speak on it; ours is what carries, so silence is not asked here.
      const columns = await testCable({ a: await r8.getStation('lan'), b }, BRIDGE_ROWS)
      const rows = columns.flatMap(({ verdicts }) => verdicts.slice(0, BRIDGE_ROWS.length))
      expect(rows.length).to.equal(2 * 6)
      expect(rows.filter((row) => row.outcome !== 'delivered')).to.deep.equal([])
    } finally {
      await run(['ip', 'link', 'del', 'dev', 'l2wvm0'])
    }
  })
})
