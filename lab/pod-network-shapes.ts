// Pod networks of Debian's CNI plugins, by the shape of a pod's link.
import type { Manifest } from './manifests.ts'
import { newPodNetwork, type PodNetwork, type PodNetworkConfig } from './pod-network.ts'

/** Less than an Ethernet's, as on an overlay, so that a VM with a wrong MTU shows. */
export const POD_MTU = 1400

const SUBNETS = { ipv4: '10.75.0.0/24', ipv6: 'fd00:75::/64' }
const ROUTES = { ipv4: '0.0.0.0/0', ipv6: '::/0' }
type Family = keyof typeof SUBNETS

/** A bridge with the gateway's addresses: Flannel delegates to this. */
export async function newBridgeNetwork(
  families: readonly Family[] = ['ipv4'],
): Promise<PodNetwork> {
  const bridge = { type: 'bridge', bridge: 'l2wpods', isGateway: true, mtu: POD_MTU }
  return newPodNetwork((dataDir) => toConfig(bridge, families, dataDir))
}

/** A veth pair between pod and node, which routes. Pods never see each other's frames. */
export async function newPtpNetwork(families: readonly Family[] = ['ipv4']): Promise<PodNetwork> {
  return newPodNetwork((dataDir) => toConfig({ type: 'ptp', mtu: POD_MTU }, families, dataDir))
}

/** A macvlan each on a device of the node. The gateway is on the device's far side. */
export async function newMacvlanNetwork(): Promise<PodNetwork> {
  await using made = new AsyncDisposableStack()
  const macvlan = { type: 'macvlan', master: 'l2wup0', mode: 'bridge', mtu: POD_MTU }
  const network = made.use(await newPodNetwork((dataDir) => toConfig(macvlan, ['ipv4'], dataDir)))
  const { node } = network
  const peer = ['type', 'veth', 'peer', 'name', 'l2wgw0']
  await node.run(['ip', 'link', 'add', 'name', 'l2wup0', 'mtu', String(POD_MTU), ...peer])
  await node.run(['ip', 'address', 'add', '10.75.0.1/24', 'dev', 'l2wgw0'])
  for (const dev of ['l2wup0', 'l2wgw0'])
    // Frames of the node itself would count as a pod's there.
    await node.run(['ip', 'link', 'set', 'dev', dev, 'addrgenmode', 'none', 'up'])
  const resources = made.move()
  return {
    ...network,
    getFarDevice: () => 'l2wgw0',
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function toConfig(
  plugin: Manifest,
  families: readonly Family[],
  dataDir: string,
): PodNetworkConfig {
  const ipam = {
    type: 'host-local',
    ranges: families.map((family) => [{ subnet: SUBNETS[family] }]),
    routes: families.map((family) => ({ dst: ROUTES[family] })),
    dataDir,
  }
  return { cniVersion: '1.0.0', name: 'pods', plugins: [{ ...plugin, ipam }] }
}
