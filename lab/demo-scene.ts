// One scene for the demo and the tests: three cables on one node, between containers and VMs, made from the
// project's own examples.
import {
  getMapping,
  getNadConfig,
  getNetworkSelections,
  readManifest,
  type Manifest,
  type NetworkSelection,
} from './manifests.ts'
import { newLabCluster, type ClusterNode } from './cluster.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import { newLabNode, type LabNode } from './node.ts'
import { newVmPod, type VmPod } from './vm-pod.ts'
import type { Station } from '../kernel/tester/station.ts'
import { newNetnsStation } from '../kernel/tester/netns-station.ts'
import { run } from '../kernel/run.ts'

const EXAMPLE = 'examples/vm-and-container'

export interface Cable {
  readonly kind: 'container-container' | 'VM-container' | 'VM-VM'
  /** Name of the wire. */
  readonly name: string
  readonly a: Station
  readonly b: Station
}

export interface Scene extends AsyncDisposable {
  readonly node: LabNode
  readonly vms: readonly VmPod[]
  readonly cables: readonly Cable[]
}

export type Say = (text: string) => void

/** The example's cable, with an MTU large enough for containers to send the longest row of the table. */
export async function readWireConfig(name?: string): Promise<Manifest> {
  const config = getNadConfig(await readManifest(`${EXAMPLE}/wire.yaml`))
  return { ...config, mtu: 9216, name: name ?? config['name'] }
}

/** The example's VM under another name, with its cable and perhaps more. */
export async function readVm(
  name: string,
  cables: Readonly<Record<string, string>>,
): Promise<Manifest> {
  const vm = await readManifest(`${EXAMPLE}/vm.yaml`)
  const spec = getMapping(vm, 'spec', 'template', 'spec')
  const devices = getMapping(spec, 'domain', 'devices')
  const interfaces = devices['interfaces'] as Manifest[]
  const networks = spec['networks'] as Manifest[]
  const cable = interfaces.find((nic) => 'binding' in nic)
  if (cable === undefined)
    throw new Error(`Cannot use ${EXAMPLE}/vm.yaml: no interface with a binding`)
  const others = <T extends Manifest>(list: T[]): T[] =>
    list.filter((one) => one['name'] !== cable['name'])
  const nics = Object.keys(cables).map((nic) => ({ ...cable, name: nic }))
  const nets = Object.entries(cables).map(([nic, networkName]) => ({
    name: nic,
    multus: { networkName },
  }))
  const domain = {
    ...getMapping(spec, 'domain'),
    devices: { ...devices, interfaces: [...others(interfaces), ...nics] },
  }
  const template = {
    ...getMapping(vm, 'spec', 'template'),
    spec: { ...spec, domain, networks: [...others(networks), ...nets] },
  }
  return { ...vm, metadata: { name }, spec: { ...getMapping(vm, 'spec'), template } }
}

/** Plugs a namespace in as a container of this pod, by the pod's annotation. */
export async function plugContainer(
  node: LabNode,
  netns: LabNetns,
  pod: string,
  config: Manifest,
  selection: Pick<NetworkSelection, 'interface' | 'mac'> = { interface: 'eth1' },
): Promise<Station> {
  const ifname = selection.interface
  const runtimeConfig = selection.mac === undefined ? {} : { mac: selection.mac }
  await node.mustCall(
    { ...config, runtimeConfig },
    {
      command: 'ADD',
      containerID: `sandbox-${netns.name}`,
      netns: netns.path,
      ifname,
      args: `IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
    },
  )
  return newNetnsStation(run, { label: pod, netns: netns.path, ifname })
}

/** The example's container: its name, and how it is plugged into the example's cable. */
async function readPod(): Promise<{ readonly name: string; readonly selection: NetworkSelection }> {
  const pod = await readManifest(`${EXAMPLE}/pod.yaml`)
  const [selection] = getNetworkSelections(pod)
  if (selection === undefined)
    throw new Error(`Cannot use ${EXAMPLE}/pod.yaml: it is on no network`)
  return { name: String(getMapping(pod, 'metadata')['name']), selection }
}

/**
 * r1 is the example's VM with a second cable, r2 another VM; h1, h2 and h3 are containers. The VMs
 * boot before the far end of any cable is plugged in.
 */
export async function newScene(say: Say): Promise<Scene> {
  await using started = new AsyncDisposableStack()
  const node = started.use(await newLabNode())
  say('The node agent is up; its wires are in a folder, there is no cluster.')
  const example = await readWireConfig()
  const exampleName = String(example['name'])
  const networks = {
    [exampleName]: example,
    'r1-r2': await readWireConfig('r1-r2'),
  }
  const r1Vm = await readVm('r1', { ge0: exampleName, ge1: 'r1-r2' })
  const r1 = started.use(await newVmPod({ node, vm: r1Vm, networks }))
  say(`VM r1 boots on ${exampleName} and r1-r2, nobody at the other ends yet.`)
  const guest = await r1.getGuest()
  say(
    `r1 is up and has its NICs: ${(await guest.nics()).map(({ name, mac }) => `${name} ${mac}`).join(', ')}`,
  )
  const r2Vm = await readVm('r2', { ge0: 'r1-r2' })
  const r2 = started.use(await newVmPod({ node, vm: r2Vm, networks }))
  await r2.getGuest()
  say('VM r2 is up at the other end of r1-r2.')
  const [h1, h2, h3] = [
    started.use(await newLabNetns('h1', { ipv6: false })),
    started.use(await newLabNetns('h2', { ipv6: false })),
    started.use(await newLabNetns('h3', { ipv6: false })),
  ]
  const h2h3 = await readWireConfig('h2-h3')
  const pod = await readPod()
  const cables: readonly Cable[] = [
    {
      kind: 'container-container',
      name: 'h2-h3',
      a: await plugContainer(node, h2, 'h2', h2h3),
      b: await plugContainer(node, h3, 'h3', h2h3),
    },
    {
      kind: 'VM-container',
      name: exampleName,
      a: await r1.getStation('ge0'),
      b: await plugContainer(node, h1, pod.name, example, pod.selection),
    },
    {
      kind: 'VM-VM',
      name: 'r1-r2',
      a: await r1.getStation('ge1'),
      b: await r2.getStation('ge0'),
    },
  ]
  say('Containers h1, h2 and h3 are plugged in.')
  const resources = started.move()
  return {
    node,
    vms: [r1, r2],
    cables,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** Cables between two nodes, each a namespace with an agent of its own, over an underlay of 1500 bytes. */
export interface CrossScene extends AsyncDisposable {
  /** The first is between containers. */
  readonly cables: readonly Cable[]
  readonly nodes: readonly ClusterNode[]
  /** The namespaces at the ends of the first cable. */
  readonly containers: readonly LabNetns[]
}

export async function newCrossScene(say: Say): Promise<CrossScene> {
  await using started = new AsyncDisposableStack()
  const cluster = started.use(await newLabCluster())
  const [n1, n2] = cluster.nodes
  if (n1 === undefined || n2 === undefined) throw new Error('No two nodes in the cluster')
  say(`Two nodes are up, ${n1.address} and ${n2.address}, 1500 bytes between them.`)
  const networks = { 'r3-r4': await readWireConfig('r3-r4') }
  const r3Vm = await readVm('r3', { ge0: 'r3-r4' })
  const r3 = started.use(await newVmPod({ node: n1.node, vm: r3Vm, networks }))
  await r3.getGuest()
  const r4Vm = await readVm('r4', { ge0: 'r3-r4' })
  const r4 = started.use(await newVmPod({ node: n2.node, vm: r4Vm, networks }))
  await r4.getGuest()
  say('VM r3 is up on the one, VM r4 on the other.')
  const h4 = started.use(await newLabNetns('h4', { ipv6: false }))
  const h5 = started.use(await newLabNetns('h5', { ipv6: false }))
  const h4h5 = await readWireConfig('h4-h5')
  const cables: readonly Cable[] = [
    {
      kind: 'container-container',
      name: 'h4-h5',
      a: await plugContainer(n1.node, h4, 'h4', h4h5),
      b: await plugContainer(n2.node, h5, 'h5', h4h5),
    },
    {
      kind: 'VM-VM',
      name: 'r3-r4',
      a: await r3.getStation('ge0'),
      b: await r4.getStation('ge0'),
    },
  ]
  say('Containers h4 and h5 are plugged in, one on each node.')
  const resources = started.move()
  return {
    cables,
    nodes: cluster.nodes,
    containers: [h4, h5],
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}
