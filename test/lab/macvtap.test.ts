// VMs by macvtap, their devices handed out as a kubelet does: QEMU as user 107 opens the very number that
// the pod was given. docs/macvtap.md has what the cable tester finds here.
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { renderVerdicts, type VerdictColumn } from '../../core/tester/table.ts'
import { appendRows, testCable, testIdle } from '../../kernel/tester/cable-test.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import { callPlugin } from '../../lab/cni.ts'
import { plugContainer, readVm, readWireConfig } from '../../lab/demo-scene.ts'
import { newLabKubelet, type LabKubelet } from '../../lab/kubelet.ts'
import { getBinding, getMapping, readManifest, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { readGuestNic, readPodNic } from '../../lab/guest-network.ts'
import { newBridgeNetwork, POD_MTU } from '../../lab/pod-network-shapes.ts'
import { newPodVm, type PodVm } from '../../lab/pod-scene.ts'
import { newVmPod, type VmPod } from '../../lab/vm-pod.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { DHCP_MS } from '../pods-place.ts'

const IDLE_SECONDS = 3
/** What a macvtap keeps from whoever is behind it, whatever else it delays. */
const LOST_ALONE: readonly string[] = ['01-80-C2-00-00-01 pause', 'IPv4 multicast fragments']
const ZERO = '00:00:00:00:00:00'
const SHORT_ROWS = FRAME_ROWS.filter((row) =>
  row.frames({ sender: ZERO, receiver: ZERO }).every((frame) => frame.length <= 1514),
)
/** What any Ethernet carries, a bridge too. */
const BRIDGE_ROWS = FRAME_ROWS.filter(({ name }) =>
  ['broadcast', 'unicast to the other NIC', 'ARP', '60 bytes', '1514 bytes', 'MPLS'].includes(name),
)
const REGISTRATION = 'kubevirt-patches/register-binding-macvtap.yaml'

/** The VM with its NICs on these networks by our binding, and several queues where it asks for them. */
async function readMacvtapVm(
  name: string,
  cables: Readonly<Record<string, string>>,
  hasQueues = false,
): Promise<Manifest> {
  const vm = await readVm(name, cables)
  const spec = getMapping(vm, 'spec', 'template', 'spec')
  const devices = getMapping(spec, 'domain', 'devices')
  const interfaces = (devices['interfaces'] as Manifest[]).map((nic) =>
    'binding' in nic ? { ...nic, binding: { name: 'l2wire-macvtap' } } : nic,
  )
  const queues = hasQueues ? { networkInterfaceMultiqueue: true } : {}
  const domain = {
    ...getMapping(spec, 'domain'),
    ...(hasQueues ? { cpu: { sockets: 2 } } : {}),
    devices: { ...devices, interfaces, ...queues },
  }
  const template = { ...getMapping(vm, 'spec', 'template'), spec: { ...spec, domain } }
  return { ...vm, spec: { ...getMapping(vm, 'spec'), template } }
}

describe('VMs by macvtap', function () {
  this.timeout(180_000)
  let node: LabNode
  let kubelet: LabKubelet

  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
    const root = join(node.folder, 'kubelet')
    kubelet = made.use(await newLabKubelet(root))
    await node.stopAgent('SIGTERM')
    await node.startAgent([
      '--device-plugins',
      kubelet.folder,
      '--pod-resources',
      kubelet.podResources,
    ])
    await expectSoon('a registration', () => kubelet.devices().length > 0)
  })

  const newVm = async (
    vm: Manifest,
    networks: Readonly<Record<string, Manifest>>,
  ): Promise<VmPod> => {
    const { name, plugin } = getBinding(await readManifest(REGISTRATION))
    expect(plugin['domainAttachmentType']).to.equal('tap')
    const bindings = {
      [name]: { sidecar: 'dist/bin/l2wire-sidecar', domainAttachmentType: 'tap' as const },
    }
    const { name: vmName, namespace = 'default' } = getMapping(vm, 'metadata')
    const pod = `${String(namespace)}/virt-launcher-${String(vmName)}-x7f2k`
    const given = await kubelet.admit(pod, Object.keys(networks).length)
    const devices = given.map(({ host_path: path }) => path)
    return newVmPod({ node, vm, networks, bindings, bindKeys: { attach: 'macvtap' }, devices })
  }

  it('carry every frame class both ways, and a macvtap left to itself does not', async () => {
    const config: Manifest = { ...(await readWireConfig()), mtu: 9216 }
    const name = String(config['name'])
    await using r1 = await newVm(await readMacvtapVm('r1', { ge0: name }), { [name]: config })
    const podLink = toPodLinkName('ge0')
    const target = `<target dev=["']${toTapName(podLink)}["'] managed=["']no["']`
    expect(r1.launcher.definedXml).to.match(new RegExp(target))
    const links = await r1.netns.run(['ip', '-d', 'link', 'show', 'dev', toTapName(podLink)])
    expect(links, 'no tap behind its back').to.include('macvtap mode passthru')
    await using far = await newLabNetns('far', { ipv6: false })
    const b = await plugContainer(node, far, 'h1', config)
    const cable = { a: await r1.getStation('ge0'), b }
    const active = await testCable(cable, FRAME_ROWS)
    const [idle = []] = await testIdle([cable], IDLE_SECONDS)
    const columns = appendRows(active, idle)
    expect(listFaults(columns), renderVerdicts(columns)).to.deep.equal([[], []])

    await r1.netns.run(['tc', 'filter', 'del', 'dev', podLink, 'ingress'])
    const alone = await testCable(cable, FRAME_ROWS)
    const [out = [], into = []] = listFaults(alone)
    expect(out, 'out of the VM').to.deep.equal([])
    expect(into, 'into it').to.include.members(LOST_ALONE)
  })

  it('of several queues open their device once for each', async () => {
    const config: Manifest = await readWireConfig()
    const name = String(config['name'])
    const manifest = await readMacvtapVm('r2', { ge0: name }, true)
    await using r2 = await newVm(manifest, { [name]: config })
    expect(r2.launcher.definedXml).to.match(
      /ua-ge0[^]*?queues=["']2["']|queues=["']2["'][^]*?ua-ge0/,
    )
    await using far = await newLabNetns('far', { ipv6: false })
    const b = await plugContainer(node, far, 'h2', config)
    const columns = await testCable({ a: await r2.getStation('ge0'), b }, SHORT_ROWS)
    // Of two queues each keeps the order of its flows alone.
    const lost = columns.flatMap(({ verdicts }) =>
      verdicts.filter(({ fault }) => / lost/.test(fault)),
    )
    expect(lost).to.deep.equal([])
  })

  it("are attached straight to a pod link of Debian's bridge plugin", async () => {
    const config = { cniVersion: '1.0.0', name: 'other', type: 'bridge', bridge: 'l2wvm1' }
    try {
      const manifest = await readMacvtapVm('r3', { lan: 'other' })
      await using r3 = await newVm(manifest, { other: config })
      await using far = await newLabNetns('far', { ipv6: false })
      const call = { command: 'ADD', containerID: far.name, netns: far.path, ifname: 'eth1' }
      const added = await callPlugin('/usr/lib/cni/bridge', call, JSON.stringify(config))
      expect(added.exitCode, added.stdout).to.equal(0)
      const b = newNetnsStation(run, { label: 'far', netns: far.path, ifname: 'eth1' })
      const columns = await testCable({ a: await r3.getStation('lan'), b }, BRIDGE_ROWS)
      // A bridge's own stack may speak on it: what nobody sent is not asked here.
      const rows = columns.flatMap(({ verdicts }) => verdicts.slice(0, BRIDGE_ROWS.length))
      expect(rows.filter((row) => row.outcome !== 'delivered')).to.deep.equal([])
    } finally {
      await run(['ip', 'link', 'del', 'dev', 'l2wvm1'])
    }
  })
})

/** What a pod's stack may come to say on its eth0. */
const TALK = `
  busybox arping -c 1 -w 1 -I eth0 10.75.0.1
  busybox arping -U -c 1 -w 1 -I eth0 10.75.0.2
  busybox ping -c 1 -W 1 10.75.0.1
  busybox ping -c 1 -W 1 -I eth0 255.255.255.255
  busybox udhcpc -i eth0 -n -q -t 1 -T 1 -s /bin/true
  true
`

/** How many frames come out of the pod while its own stack talks. */
async function hearPod({ network, vm }: PodVm): Promise<number> {
  const far = newNetnsStation(run, {
    label: 'far',
    netns: network.node.path,
    ifname: network.getFarDevice(vm.sandbox),
  })
  await using capture = await far.startCapture()
  await vm.netns.run(['sh', '-c', `(${TALK}) >/dev/null 2>&1`])
  return (await capture.stop()).length
}

describe('a VM by macvtap on a pod network', function () {
  this.timeout(180_000)
  leavesNothing()

  it("takes its pod's place by DHCP, and the pod itself is mute", async () => {
    await using on = await newPodVm(await newBridgeNetwork(), { attach: 'macvtap' })
    const { network, vm, guest, nic, other } = on
    const link = await vm.netns.run(['ip', '-d', 'link', 'show', 'dev', 'tap0'])
    expect(link).to.include('macvtap mode passthru')
    const pod = await readPodNic(vm.netns, 'eth0')

    await guest.run(`ip link set dev ${nic} down`)
    expect(await hearPod(on), 'what the pod says while its VM says nothing').to.equal(0)

    await guest.run(`ip link set dev ${nic} up; dhclient -1 ${nic} 2>&1`, { timeoutMs: DHCP_MS })
    const own = await readGuestNic(guest, nic)
    expect(own.mac).to.equal(pod.mac)
    expect(own.mtu).to.equal(POD_MTU)
    const [address = ''] = pod.addresses
    expect(own.addresses).to.include(address)
    await other.run(['busybox', 'ping', '-c', '2', '-W', '2', address])
    await guest.run('ping -c 2 -W 2 10.75.0.1')
    await network.check(vm.sandbox)

    await guest.run(`killall dhclient; ip link set dev ${nic} down`)
    await vm.netns.run(['tc', 'filter', 'del', 'dev', 'eth0', 'egress'])
    expect(await hearPod(on), 'what it would say').to.be.greaterThan(0)
  })
})

/** The rows of each direction that did not arrive as they were sent. */
function listFaults(columns: readonly VerdictColumn[]): readonly (readonly string[])[] {
  return columns.map(({ verdicts }) =>
    verdicts.filter(({ outcome }) => outcome !== 'delivered').map((row) => row.name),
  )
}
