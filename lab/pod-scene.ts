// A VM straight on a pod network, and another pod beside it, for the demo and the tests.
import { join } from 'node:path'

import { listIndices, toDeviceFile } from '../core/attach/macvtap.ts'
import { DHCP_CLIENTS } from './debian-packages.ts'
import type { Guest } from './guest.ts'
import type { Manifest } from './manifests.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import { newLabNode, type LabNode } from './node.ts'
import type { PodNetwork } from './pod-network.ts'
import { newVmPod, type VmPod } from './vm-pod.ts'

export interface PodVm extends AsyncDisposable {
  readonly network: PodNetwork
  readonly node: LabNode
  readonly vm: VmPod
  readonly guest: Guest
  /** The guest's first NIC. */
  readonly nic: string
  /** Another pod of the same network. */
  readonly other: LabNetns
}

export interface PodVmOptions {
  /** Default: "r1". */
  readonly name?: string
  /** A second NIC, "lan", on this network of another plugin. */
  readonly lan?: Manifest
  /** Of its first NIC; default: a tap. */
  readonly attach?: 'macvtap'
}

/** The first device that an agent without a kubelet takes. */
const FIRST_MACVTAP = `macvtap/${toDeviceFile(listIndices(1)[0] ?? 0)}`

export async function newPodVm(network: PodNetwork, options: PodVmOptions = {}): Promise<PodVm> {
  await using made = new AsyncDisposableStack()
  made.use(network)
  const node = made.use(await newLabNode({ netns: network.node }))
  const networks = options.lan === undefined ? {} : { lan: options.lan }
  const manifest = newManifest(options.name ?? 'r1', ['default', ...Object.keys(networks)])
  const attach =
    options.attach === undefined
      ? {}
      : { bindKeys: { attach: options.attach }, devices: [join(node.folder, FIRST_MACVTAP)] }
  const vm = made.use(
    await newVmPod({ node, vm: manifest, networks, podNetwork: network, ...attach }),
  )
  const other = made.use(await newLabNetns('other'))
  const sandbox = { containerID: `sandbox-${other.name}`, netns: other.path }
  made.defer(async () => network.unplug(sandbox))
  await network.plug(sandbox)
  const guest = await vm.getGuest()
  const [nic] = await guest.nics()
  if (nic === undefined) throw new Error('The guest has no NIC')
  const resources = made.move()
  return {
    network,
    node,
    vm,
    guest,
    nic: nic.name,
    other,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function newManifest(vm: string, nics: readonly string[]): Manifest {
  const interfaces = nics.map((name) => ({ name, binding: { name: 'l2wire' } }))
  const networks = nics.map((name) =>
    name === 'default' ? { name, pod: {} } : { name, multus: { networkName: name } },
  )
  // The test decides which client asks for an address, and when.
  const userData = `#cloud-config\npackages: [${DHCP_CLIENTS.join(', ')}]\n`
  const cloudInitNoCloud = { userData, networkData: 'version: 2' }
  const volumes = [{ name: 'cloudinit', cloudInitNoCloud }]
  const spec = { domain: { devices: { interfaces } }, networks, volumes }
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata: { name: vm },
    spec: { template: { spec } },
  }
}
