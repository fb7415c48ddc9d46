// A node's pod network without a cluster: other CNI plugins, called as the runtime calls them for each pod's
// eth0, before anything else is plugged in.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { PRIMARY_POD_LINK } from '../core/name.ts'
import { callPlugin } from './cni.ts'
import type { Manifest } from './manifests.ts'
import { newLabNetns, type LabNetns } from './netns.ts'

/** A network configuration list, as in /etc/cni/net.d. */
export interface PodNetworkConfig {
  readonly cniVersion: string
  readonly name: string
  readonly plugins: readonly Manifest[]
}

/** The content that the kubelet would write into a pod's resolv.conf. */
export interface PodResolver {
  readonly nameservers: readonly string[]
  readonly search: readonly string[]
}

/** A pod's sandbox, as the runtime names it for plugins. */
export interface PodSandbox {
  readonly containerID: string
  /** Path of the namespace. */
  readonly netns: string
  readonly args?: string
}

export interface PodNetwork extends AsyncDisposable {
  /** The node's own namespace, where the plugins run. */
  readonly node: LabNetns
  readonly resolver: PodResolver
  /** Plugs the pod's eth0 in. Returns the last plugin's result. */
  readonly plug: (pod: PodSandbox) => Promise<Manifest>
  /** Throws the fault that a plugin's CHECK finds. */
  readonly check: (pod: PodSandbox) => Promise<void>
  readonly unplug: (pod: PodSandbox) => Promise<void>
  /** The node's device through which all of this pod's frames leave. */
  readonly getFarDevice: (pod: PodSandbox) => string
}

/** An ADD's result, with the fields that the lab reads. */
interface AddResult {
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[]
}

export const POD_RESOLVER: PodResolver = {
  nameservers: ['10.96.0.10'],
  search: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
}

const DEBIAN_PLUGINS = '/usr/lib/cni'

/** toConfig gets the folder of used addresses: host-local's "dataDir". */
export async function newPodNetwork(
  toConfig: (dataDir: string) => PodNetworkConfig,
): Promise<PodNetwork> {
  await using made = new AsyncDisposableStack()
  const node = made.use(await newLabNetns('podnet'))
  const dataDir = await mkdtemp(join(tmpdir(), 'l2w-ipam-'))
  made.defer(async () => rm(dataDir, { recursive: true, force: true }))
  const { cniVersion, name, plugins } = toConfig(dataDir)
  const results = new Map<string, Manifest>()

  const call = async (
    command: string,
    plugin: Manifest,
    pod: PodSandbox,
    prevResult: Manifest | undefined,
  ): Promise<Manifest> => {
    const config = {
      cniVersion,
      name,
      ...plugin,
      ...(prevResult === undefined ? {} : { prevResult }),
    }
    const executable = join(DEBIAN_PLUGINS, String(plugin['type']))
    const cniCall = { command, ...pod, ifname: PRIMARY_POD_LINK, path: DEBIAN_PLUGINS }
    const answer = await callPlugin(executable, cniCall, JSON.stringify(config), node)
    if (answer.exitCode === 0) return answer.output ?? {}
    throw new Error(`${executable} ${command} failed: ${answer.stdout}${answer.stderr}`)
  }
  const resources = made.move()
  return {
    node,
    resolver: POD_RESOLVER,
    plug: async (pod) => {
      let result: Manifest | undefined
      for (const plugin of plugins) result = await call('ADD', plugin, pod, result)
      results.set(pod.containerID, result ?? {})
      return result ?? {}
    },
    check: async (pod) => {
      for (const plugin of plugins) await call('CHECK', plugin, pod, results.get(pod.containerID))
    },
    unplug: async (pod) => {
      for (const plugin of plugins.toReversed())
        await call('DEL', plugin, pod, results.get(pod.containerID))
      results.delete(pod.containerID)
    },
    getFarDevice: ({ containerID }) => {
      const { interfaces = [] } = (results.get(containerID) ?? {}) as AddResult
      // The specification leaves "sandbox" empty for devices of the node. A bridge comes before its port.
      const far = interfaces.findLast(({ sandbox = '' }) => sandbox === '')
      if (far !== undefined) return far.name
      throw new Error(`No plugin of "${name}" named a device of the node for "${containerID}"`)
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}
