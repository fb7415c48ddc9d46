// A pod without a cluster: the CNI calls that Multus makes of its annotation, then its containers as
// its manifest describes them.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { isRecord } from '../core/record.ts'
import { newContainer, runInitContainer, type Container, type ContainerSpec } from './container.ts'
import {
  getMapping,
  getNetworkSelections,
  type Manifest,
  type NetworkSelection,
} from './manifests.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import type { LabNode } from './node.ts'
import type { PodNetwork } from './pod-network.ts'

export interface PodOptions {
  readonly node: LabNode
  readonly pod: Manifest
  /** CNI configurations by the name of the NetworkAttachmentDefinition they come from. */
  readonly networks: Readonly<Record<string, Manifest>>
  /** ConfigMaps by name. */
  readonly configMaps: Readonly<Record<string, Manifest>>
  /** The cluster's default network, on the same node; without one the pod has no eth0. */
  readonly podNetwork?: PodNetwork
}

export interface Pod extends AsyncDisposable {
  readonly name: string
  readonly netns: LabNetns
  /** The first one is what "kubectl exec" reaches. */
  readonly containers: readonly Container[]
  /** Takes the pod's end of this network's cable out, as its deletion would. */
  readonly pull: (network: string) => Promise<void>
}

interface Metadata {
  readonly name: string
  readonly namespace?: string
}

interface PodSpec {
  readonly initContainers?: readonly ContainerSpec[]
  readonly containers: readonly ContainerSpec[]
  readonly volumes?: readonly Volume[]
}

interface Volume {
  readonly name: string
  readonly configMap?: { readonly name: string }
}

/** Plugs every network of the pod in, then starts its containers. All of it goes when disposed. */
export async function newPod(options: PodOptions): Promise<Pod> {
  const { node, pod, podNetwork } = options
  const { name, namespace = 'default' } = getMapping(pod, 'metadata') as unknown as Metadata
  await using started = new AsyncDisposableStack()
  const netns = started.use(await newLabNetns(name, { ipv6: podNetwork !== undefined }))
  const sandbox = {
    containerID: `sandbox-${netns.name}`,
    netns: netns.path,
    args: `IgnoreUnknown=true;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name}`,
  }
  if (podNetwork !== undefined) {
    started.defer(async () => podNetwork.unplug(sandbox))
    await podNetwork.plug(sandbox)
  }
  const pulls = new Map<string, () => Promise<void>>()
  for (const selection of getNetworkSelections(pod)) {
    const config = findNetwork(options.networks, selection)
    const call = { ...sandbox, ifname: selection.interface }
    const pull = async (): Promise<void> => {
      await node.mustCall(config, { command: 'DEL', ...call })
    }
    started.defer(pull)
    const runtimeConfig = toRuntimeConfig(config, selection)
    await node.mustCall({ ...config, runtimeConfig }, { command: 'ADD', ...call })
    pulls.set(selection.name, pull)
  }
  const containers = await startContainers(name, netns, options, started)
  const resources = started.move()
  return {
    name,
    netns,
    containers,
    pull: async (network) => {
      const pull = pulls.get(network)
      if (pull === undefined) throw new Error(`Pod "${name}" is not on network "${network}"`)
      await pull()
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function findNetwork(
  networks: Readonly<Record<string, Manifest>>,
  { name }: NetworkSelection,
): Manifest {
  const config = networks[name]
  if (config !== undefined) return config
  throw new Error(`Cannot plug in: no NetworkAttachmentDefinition "${name}"`)
}

/** Multus hands on what the network declares that it can do. */
function toRuntimeConfig(config: Manifest, { mac, ips }: NetworkSelection): Manifest {
  const capabilities = isRecord(config['capabilities']) ? config['capabilities'] : {}
  return {
    ...(mac !== undefined && capabilities['mac'] === true ? { mac } : {}),
    ...(ips !== undefined && capabilities['ips'] === true ? { ips } : {}),
  }
}

async function startContainers(
  hostname: string,
  netns: LabNetns,
  options: PodOptions,
  started: AsyncDisposableStack,
): Promise<readonly Container[]> {
  const spec = getMapping(options.pod, 'spec') as Manifest & PodSpec
  const folder = await mkdtemp(join(tmpdir(), 'l2w-pod-'))
  started.defer(async () => rm(folder, { recursive: true, force: true }))
  const volumes: Record<string, string> = {}
  for (const volume of spec.volumes ?? [])
    volumes[volume.name] = await writeVolume(join(folder, volume.name), volume, options.configMaps)
  const common = { netnsName: netns.name, hostname, volumes }
  for (const init of spec.initContainers ?? []) await runInitContainer({ ...common, spec: init })
  const containers = []
  for (const one of spec.containers)
    containers.push(started.use(await newContainer({ ...common, spec: one })))
  return containers
}

/** A folder with a file for each key of the ConfigMap. */
async function writeVolume(
  folder: string,
  { name, configMap }: Volume,
  configMaps: Readonly<Record<string, Manifest>>,
): Promise<string> {
  if (configMap === undefined) throw new Error(`Cannot make volume "${name}": it is no ConfigMap`)
  const found = configMaps[configMap.name]
  if (found === undefined) throw new Error(`Cannot make volume "${name}": no "${configMap.name}"`)
  await mkdir(folder)
  for (const [file, text] of Object.entries(getMapping(found, 'data')))
    await writeFile(join(folder, file), String(text))
  return folder
}
