// How a VM's launchers and the far end of its network are joined: by a wire, or as KubeVirt's bridge binding
// does on a CNI plugin of bridges, whose nodes are joined by one VXLAN with learning.
import { join } from 'node:path'

import { toPodLinkName, toTapName } from '../core/name.ts'
import { UNDERLAY, type ClusterNode } from './cluster.ts'
import type { CniCall } from './cni.ts'
import type { VmiInterface } from './domain-vmi.ts'
import { getNadConfig, readManifest, type Manifest } from './manifests.ts'
import type { LabNetns } from './netns.ts'

export interface MigrationShape {
  /** The VM's NIC in its manifest. */
  readonly nic: VmiInterface
  /** Of the NIC; as many vCPUs. */
  readonly queues: number
  /** Where frames of the far end go in and out. */
  readonly farNic: string
  /**
   * Brings the network to a launcher; more is for the CNI arguments of its cable. Resolves with the files of the
   * devices that the launcher gets.
   */
  readonly plugLauncher: (
    on: ClusterNode,
    launcher: LabNetns,
    more: Manifest,
  ) => Promise<readonly string[]>
  readonly unplugLauncher: (on: ClusterNode, launcher: LabNetns) => Promise<void>
  readonly plugFar: (on: ClusterNode, far: LabNetns) => Promise<void>
  readonly unplugFar: (on: ClusterNode, far: LabNetns) => Promise<void>
}

/** The network of the VM, as its manifest calls it. */
export const NETWORK = 'ge0'
const FAR_NIC = 'eth1'
const POD_LINK = toPodLinkName(NETWORK)
const TAP = toTapName(POD_LINK)
/** A bridge's nodes are joined by a VXLAN, so both are told the same. */
const MTU = 1450
/** The first macvtap of a node. */
const FIRST_DEVICE = 70_000_001

export interface WireShapeOptions {
  readonly attach?: 'tap' | 'macvtap'
  readonly queues?: number
}

export async function newWireShape({
  attach = 'tap',
  queues = 1,
}: WireShapeOptions = {}): Promise<MigrationShape> {
  const wire = { cniVersion: '1.1.0', name: 'migrating', type: 'l2wire', mtu: MTU }
  const bind = {
    ...getNadConfig(await readManifest('deploy/base/binding-nad.yaml')),
    args: { cni: { logicNetworkName: NETWORK } },
    attach,
    ...(queues > 1 ? { multiQueue: true } : {}),
  }
  let devices = 0
  return {
    nic: { name: NETWORK, binding: { name: attach === 'tap' ? 'l2wire' : 'l2wire-macvtap' } },
    queues,
    farNic: FAR_NIC,
    plugLauncher: async ({ node }, launcher, more) => {
      // Both launchers are pods of one VM, which a cluster would know.
      const args = { cni: { end: 'r1', ...more } }
      await node.mustCall({ ...wire, args }, toCall('ADD', launcher, launcher.name, POD_LINK))
      const call = toCall('ADD', launcher, launcher.name, 'net1')
      if (attach === 'tap') {
        await node.mustCall(bind, call)
        return []
      }
      // Each pod has another number, as a kubelet gives it.
      const deviceID = String(FIRST_DEVICE + devices)
      devices += 1
      await node.mustCall({ ...bind, deviceID }, call)
      return [join(node.folder, 'macvtap', `tap${deviceID}`)]
    },
    unplugLauncher: async ({ node }, launcher) => {
      await node.mustCall(bind, toCall('DEL', launcher, launcher.name, 'net1'))
      await node.mustCall(wire, toCall('DEL', launcher, launcher.name, POD_LINK))
    },
    plugFar: async ({ node }, far) => {
      await node.mustCall(wire, toCall('ADD', far, 'far', FAR_NIC))
    },
    unplugFar: async ({ node }, far) => {
      await node.mustCall(wire, toCall('DEL', far, 'far', FAR_NIC))
    },
  }
}

function toCall(command: string, netns: LabNetns, pod: string, ifname: string): CniCall {
  return {
    command,
    containerID: `sandbox-${netns.name}`,
    netns: netns.path,
    ifname,
    args: `IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
  }
}

const NODE_BRIDGE = 'l2wbr0'
const NODE_VXLAN = 'l2wvx0'
const POD_BRIDGE = 'l2wbr1'

export interface BridgeShape extends MigrationShape {
  /** As a CNI plugin does. */
  readonly plugPod: (on: ClusterNode, netns: LabNetns, ifname: string) => Promise<void>
}

/** For nodes of one cluster; what it makes in them goes with them. */
export async function newBridgeShape(nodes: readonly ClusterNode[]): Promise<BridgeShape> {
  for (const on of nodes) await joinNode(on, nodes)
  let ports = 0
  const plug = async (on: ClusterNode, netns: LabNetns, ifname: string): Promise<void> => {
    ports += 1
    const port = `l2wport${ports}`
    const mtu = ['mtu', String(MTU)]
    const peer = ['peer', 'name', ifname, ...mtu, 'netns', netns.path]
    await on.netns.run(['ip', 'link', 'add', 'name', port, ...mtu, 'type', 'veth', ...peer])
    await on.netns.run(['ip', 'link', 'set', 'dev', port, 'master', NODE_BRIDGE, 'up'])
  }
  return {
    nic: { name: NETWORK, bridge: {}, macAddress: '02:00:5e:00:53:07' },
    queues: 1,
    farNic: FAR_NIC,
    plugPod: plug,
    plugLauncher: async (on, launcher) => {
      await plug(on, launcher, POD_LINK)
      await bridgeTap(launcher)
      return []
    },
    unplugLauncher: async (_on, launcher) => unplugVeth(launcher, POD_LINK),
    plugFar: async (on, far) => {
      await plug(on, far, FAR_NIC)
      await far.run(['ip', 'link', 'set', 'dev', FAR_NIC, 'up'])
    },
    unplugFar: async (_on, far) => unplugVeth(far, FAR_NIC),
  }
}

/** What a CNI plugin gives to the VM's launchers, wherever they are, and to the far end, which is their gateway. */
export const POD_NETWORK = { address: '10.77.0.2', gateway: '10.77.0.1' }

/** A pod network of bridges that keeps a VM's address, and the VM straight on it. */
export async function newPodNetworkShape(nodes: readonly ClusterNode[]): Promise<MigrationShape> {
  const bridges = await newBridgeShape(nodes)
  const bind = getNadConfig(await readManifest('deploy/base/binding-nad.yaml'))
  const { address, gateway } = POD_NETWORK
  let runs: { readonly ips: readonly string[]; readonly mac: string } | undefined
  return {
    ...bridges,
    nic: { name: NETWORK, binding: { name: 'l2wire' } },
    plugLauncher: async (on, launcher, more) => {
      await bridges.plugPod(on, launcher, POD_LINK)
      await launcher.run(['ip', 'address', 'add', `${address}/24`, 'dev', POD_LINK])
      await launcher.run(['ip', 'link', 'set', 'dev', POD_LINK, 'up'])
      await launcher.run(['ip', 'route', 'add', 'default', 'via', gateway])
      runs ??= { ips: [address], mac: await readMac(launcher) }
      const args = { cni: { logicNetworkName: NETWORK, ...runs, ...more } }
      await on.node.mustCall({ ...bind, args }, toCall('ADD', launcher, launcher.name, 'net1'))
      return []
    },
    unplugLauncher: async (on, launcher) => {
      const args = { cni: { logicNetworkName: NETWORK } }
      await on.node.mustCall({ ...bind, args }, toCall('DEL', launcher, launcher.name, 'net1'))
      await unplugVeth(launcher, POD_LINK)
    },
    plugFar: async (on, far) => {
      await bridges.plugFar(on, far)
      await far.run(['ip', 'address', 'add', `${gateway}/24`, 'dev', FAR_NIC])
    },
  }
}

async function readMac(launcher: LabNetns): Promise<string> {
  const shown = await launcher.run(['ip', '-j', 'link', 'show', 'dev', POD_LINK])
  const [link] = JSON.parse(shown) as { readonly address: string }[]
  if (link === undefined) throw new Error(`No device "${POD_LINK}" in "${launcher.name}"`)
  return link.address
}

async function unplugVeth(netns: LabNetns, ifname: string): Promise<void> {
  await netns.run(['ip', 'link', 'del', 'dev', ifname])
}

/** A bridge with a VXLAN that floods to every other node, and learns who is where. */
async function joinNode(on: ClusterNode, nodes: readonly ClusterNode[]): Promise<void> {
  const mtu = ['mtu', String(MTU)]
  const vxlan = ['type', 'vxlan', 'id', '99', 'dstport', '4790', 'local', on.address]
  await on.netns.run(['ip', 'link', 'add', 'name', NODE_BRIDGE, ...mtu, 'type', 'bridge'])
  await on.netns.run(['ip', 'link', 'add', 'name', NODE_VXLAN, ...mtu, ...vxlan, 'dev', UNDERLAY])
  for (const { address } of nodes)
    if (address !== on.address) {
      const flood = ['bridge', 'fdb', 'append', '00:00:00:00:00:00', 'dev', NODE_VXLAN]
      await on.netns.run([...flood, 'dst', address])
    }
  await on.netns.run(['ip', 'link', 'set', 'dev', NODE_VXLAN, 'master', NODE_BRIDGE, 'up'])
  await on.netns.run(['ip', 'link', 'set', 'dev', NODE_BRIDGE, 'up'])
}

// pkg/network/setup/netpod of KubeVirt 1.9: a bridge in the launcher's namespace that learns at its tap alone;
// the guest has the pod link's own address, and the pod link another one.
async function bridgeTap(launcher: LabNetns): Promise<void> {
  const run = async (line: string): Promise<void> => {
    await launcher.run(['ip', ...line.split(' ')])
  }
  const tap = `name ${TAP} mode tap user 107 group 107`
  await run(`tuntap add ${tap}`)
  await run(`link set dev ${TAP} mtu ${MTU} addrgenmode none`)
  await run(`link add name ${POD_BRIDGE} mtu ${MTU} type bridge`)
  await run(`link set dev ${POD_BRIDGE} addrgenmode none`)
  await run(`link set dev ${POD_LINK} addrgenmode none`)
  for (const port of [POD_LINK, TAP]) await run(`link set dev ${port} master ${POD_BRIDGE} up`)
  await run(`link set dev ${POD_LINK} type bridge_slave learning off`)
  await run(`link set dev ${POD_BRIDGE} up`)
}
