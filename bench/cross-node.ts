// One TCP stream and 64-byte frames per second across nodes: a wire beside a VXLAN device placed in the
// pods themselves and a bridge with VXLAN, over one underlay of 1500 bytes. All are told 1450.
import { newLabCluster, UNDERLAY, type ClusterNode } from '../lab/cluster.ts'
import { newLabNetns, type LabNetns } from '../lab/netns.ts'
import { addAddresses, measure, measureFrames, measureTcp, NIC, type Path } from './path.ts'
import { toFigureRow, toRatioRow, type Row } from './row.ts'

const MTU = ['mtu', '1450']
type Name = 'wire' | 'vxlan' | 'bridge'

export async function benchCrossNode(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster())
  const [a, b] = cluster.nodes as [ClusterNode, ClusterNode]
  const paths = [
    await newPath('wire', made, [a, b], plugWire),
    await newPath('vxlan', made, [a, b], placeVxlan),
    await newPath('bridge', made, [a, b], bridgeVxlan),
  ]
  for (const path of paths) await addAddresses(path)
  const tcp = await measure(paths, async (path) => measureTcp(path, ['1', '0']))
  const pps = await measure(paths, measureFrames)
  return [
    toRatioRow('TCP, wire to a VXLAN device in the pods', tcp.wire / tcp.vxlan, { atLeast: 0.95 }),
    toRatioRow('TCP, wire to bridge + VXLAN', tcp.wire / tcp.bridge, { atLeast: 1 }),
    toFigureRow('TCP, wire', `${(tcp.wire / 1e9).toFixed(1)} Gbit/s`),
    toRatioRow('64-byte frames, wire to a VXLAN device in the pods', pps.wire / pps.vxlan, {
      atLeast: 0.85,
    }),
    toRatioRow('64-byte frames, wire to bridge + VXLAN', pps.wire / pps.bridge, { atLeast: 1 }),
    toFigureRow('64-byte frames, wire', `${(pps.wire / 1e3).toFixed(0)} thousand/s`),
  ]
}

type Plug = (on: ClusterNode, far: ClusterNode, pod: LabNetns) => Promise<void>

async function newPath(
  name: Name,
  made: AsyncDisposableStack,
  [a, b]: readonly [ClusterNode, ClusterNode],
  plug: Plug,
): Promise<Path<Name>> {
  const from = made.use(await newLabNetns(`${name}-a`, { ipv6: false }))
  const to = made.use(await newLabNetns(`${name}-b`, { ipv6: false }))
  await plug(a, b, from)
  await plug(b, a, to)
  return { name, from, to }
}

async function plugWire(on: ClusterNode, _far: ClusterNode, pod: LabNetns): Promise<void> {
  await on.node.mustCall(
    { cniVersion: '1.1.0', name: 'bench', type: 'l2wire' },
    { command: 'ADD', containerID: pod.name, netns: pod.path, ifname: NIC },
  )
}

async function addVxlan(
  on: ClusterNode,
  far: ClusterNode,
  name: string,
  id: number,
): Promise<void> {
  const ends = ['local', on.address, 'remote', far.address, 'dev', UNDERLAY]
  const type = ['type', 'vxlan', 'id', String(id), 'dstport', '4790', ...ends, 'nolearning']
  await on.netns.run(['ip', 'link', 'add', 'name', name, ...MTU, ...type])
}

async function placeVxlan(on: ClusterNode, far: ClusterNode, pod: LabNetns): Promise<void> {
  await addVxlan(on, far, 'l2wvx', 7)
  await on.netns.run(['ip', 'link', 'set', 'dev', 'l2wvx', 'name', NIC, 'netns', pod.path])
}

async function bridgeVxlan(on: ClusterNode, far: ClusterNode, pod: LabNetns): Promise<void> {
  await addVxlan(on, far, 'l2wvx', 8)
  await on.netns.run(['ip', 'link', 'add', 'name', 'l2wbr', ...MTU, 'type', 'bridge'])
  const peer = ['peer', 'name', NIC, ...MTU, 'netns', pod.path]
  await on.netns.run(['ip', 'link', 'add', 'name', 'l2wport', ...MTU, 'type', 'veth', ...peer])
  for (const port of ['l2wvx', 'l2wport'])
    await on.netns.run(['ip', 'link', 'set', 'dev', port, 'master', 'l2wbr', 'up'])
  await on.netns.run(['ip', 'link', 'set', 'dev', 'l2wbr', 'up'])
}
