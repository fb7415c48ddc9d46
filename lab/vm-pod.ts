// A virt-launcher pod without a cluster: the CNI calls that Multus makes for KubeVirt 1.9's annotation, in its
// order, and then the launcher itself.
import { toPodLinkName } from '../core/name.ts'
import type { Station } from '../kernel/tester/station.ts'
import { callPlugin, type CniCall } from './cni.ts'
import { toVmi, type Vmi } from './domain-vmi.ts'
import { newGuestStation } from './guest-station.ts'
import type { Guest } from './guest.ts'
import { newLauncher, type BindingRegistration, type Launcher } from './launcher.ts'
import { getBinding, getNadConfig, readManifest, type Manifest } from './manifests.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import type { LabNode } from './node.ts'
import type { PodNetwork, PodSandbox } from './pod-network.ts'

export interface VmPodOptions {
  readonly node: LabNode
  /** A VirtualMachine. */
  readonly vm: Manifest
  /** CNI configurations by the name of the NetworkAttachmentDefinition they come from. */
  readonly networks: Readonly<Record<string, Manifest>>
  /** The cluster's default network, on the same node. Without one the pod has no eth0. */
  readonly podNetwork?: PodNetwork
  /** Default: as the project's patch registers it. */
  readonly bindings?: Readonly<Record<string, BindingRegistration>>
  /** Keys of the binding's configuration, in addition to its NetworkAttachmentDefinition's. */
  readonly bindKeys?: Manifest
  /** Files of the devices that its pod got. */
  readonly devices?: readonly string[]
}

export interface VmPod extends AsyncDisposable {
  readonly name: string
  readonly netns: LabNetns
  readonly sandbox: PodSandbox
  readonly launcher: Launcher
  /** The guest's shell. Waits for the boot. */
  readonly getGuest: () => Promise<Guest>
  /** The guest's NIC on this network of the VMI, as a station of the cable tester. */
  readonly getStation: (network: string) => Promise<Station>
  /**
   * Takes the VM off the network of this NetworkAttachmentDefinition, or off the pod network, by its name in
   * the VMI.
   */
  readonly pull: (network: string) => Promise<void>
}

const REGISTRATION = 'kubevirt-patches/register-binding.yaml'
const BINDING_NAD = 'deploy/base/binding-nad.yaml'

/** The binding as the project's own patch registers it, with the sidecar built here. */
export async function readRegistration(): Promise<Readonly<Record<string, BindingRegistration>>> {
  const { name, plugin } = getBinding(await readManifest(REGISTRATION))
  const sidecar = plugin['sidecarImage'] === undefined ? {} : { sidecar: 'dist/bin/l2wire-sidecar' }
  const isTap = plugin['domainAttachmentType'] === 'tap'
  return { [name]: { ...sidecar, ...(isTap ? { domainAttachmentType: 'tap' as const } : {}) } }
}

interface Delegate {
  /** The network attachment that it plugs in; none for its binding's. */
  readonly network?: string
  readonly config: Manifest
  readonly ifname: string
}

/** Plugs in every network of the VM and starts it. Disposing unplugs them. */
export async function newVmPod(options: VmPodOptions): Promise<VmPod> {
  const vmi = toVmi(options.vm)
  await using started = new AsyncDisposableStack()
  const { podNetwork } = options
  const netns = started.use(await newLabNetns(vmi.metadata.name))
  const sandbox = {
    containerID: `sandbox-${netns.name}`,
    netns: netns.path,
    args: `IgnoreUnknown=true;K8S_POD_NAMESPACE=${vmi.metadata.namespace};K8S_POD_NAME=virt-launcher-${vmi.metadata.name}-x7f2k`,
  }
  if (podNetwork !== undefined) {
    started.defer(async () => podNetwork.unplug(sandbox))
    await podNetwork.plug(sandbox)
  }
  const bindings = options.bindings ?? (await readRegistration())
  const unplugs = new Map<string, () => Promise<void>>()
  for (const delegate of await toDelegates(vmi, options, bindings)) {
    const call = { ...sandbox, ifname: delegate.ifname }
    const unplug = async (): Promise<void> => {
      await runDelegate(options.node, delegate, { command: 'DEL', ...call })
    }
    started.defer(unplug)
    if (delegate.network !== undefined) unplugs.set(delegate.network, unplug)
    await runDelegate(options.node, delegate, { command: 'ADD', ...call })
  }
  const { devices = [] } = options
  const launcher = started.use(await newLauncher({ netnsName: netns.name, vmi, bindings, devices }))
  const resources = started.move()
  let guest: Promise<Guest> | undefined
  const getGuest = async (): Promise<Guest> => {
    guest ??= launcher.connectGuest().then((connected) => resources.use(connected))
    return guest
  }
  return {
    name: vmi.metadata.name,
    netns,
    sandbox,
    launcher,
    getGuest,
    getStation: async (network) => {
      const mac = await readGuestMac(launcher, network)
      return newGuestStation(await getGuest(), vmi.metadata.name, mac)
    },
    pull: async (network) => {
      const unplug = unplugs.get(network)
      if (unplug === undefined)
        throw new Error(`VM "${vmi.metadata.name}" is not on network "${network}"`)
      await unplug()
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** Our plugins by the node's agent, any other one as Debian ships it. Throws unless the plugin succeeds. */
async function runDelegate(node: LabNode, { config }: Delegate, call: CniCall): Promise<void> {
  const type = String(config['type'])
  if (type.startsWith('l2wire')) {
    await node.mustCall(config, call)
    return
  }
  const stdin = JSON.stringify(config)
  const answer = await callPlugin(`/usr/lib/cni/${type}`, call, stdin, node.netns)
  if (answer.exitCode !== 0) throw new Error(`${type} ${call.command} failed: ${answer.stdout}`)
}

// pkg/network/multus/annotation.go, v1.9.0: each secondary network, and right behind it its binding's NAD
// without "interface", so that Multus numbers it "netN". Of the pod network only the binding's NAD.
async function toDelegates(
  vmi: Vmi,
  { networks, podNetwork, bindKeys }: VmPodOptions,
  bindings: Readonly<Record<string, BindingRegistration>>,
): Promise<readonly Delegate[]> {
  const bindNad = getNadConfig(await readManifest(BINDING_NAD))
  // A pod's resolv.conf comes from a cluster. Without one the configuration holds its content.
  const bindConfig = podNetwork === undefined ? bindNad : { ...bindNad, dns: podNetwork.resolver }
  const delegates: Delegate[] = []
  for (const { name, multus } of vmi.spec.networks ?? []) {
    if (multus !== undefined) {
      const { networkName } = multus
      const config = networks[networkName]
      if (config === undefined)
        throw new Error(`Cannot plug "${name}" in: no NetworkAttachmentDefinition "${networkName}"`)
      delegates.push({ network: networkName, config, ifname: toPodLinkName(name) })
    }
    const nic = vmi.spec.domain.devices.interfaces?.find((one) => one.name === name)
    if (nic?.binding === undefined || bindings[nic.binding.name] === undefined) continue
    if (multus === undefined && podNetwork === undefined)
      throw new Error(`Cannot bind "${name}": there is no pod network`)
    const args = { cni: { logicNetworkName: name } }
    delegates.push({
      ...(multus === undefined ? { network: name } : {}),
      config: { ...bindConfig, ...bindKeys, args },
      ifname: `net${delegates.length + 1}`,
    })
  }
  return delegates
}

async function readGuestMac(launcher: Launcher, network: string): Promise<string> {
  const pattern = /<interface\b(?:(?!<\/interface>)[\s\S])*?<\/interface>/g
  const nics = launcher.definedXml.match(pattern) ?? []
  const nic = nics.find((xml) => xml.includes(`ua-${network}`))
  const mac = /<mac address=["']([0-9a-f:]+)["']/.exec(nic ?? '')?.[1]
  if (mac !== undefined) return mac
  throw new Error(`Cannot find NIC "${network}" in the domain: ${launcher.definedXml}`)
}
