// Nodes with Multus, their pods and cables in the shared API server: what the Multus tests start from.
import type { LabApiServer } from '../../lab/api-server.ts'
import { toNodeLabel } from '../../core/wire/object.ts'
import { newLabCluster } from '../../lab/cluster.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabMultus, newLabPod, type LabMultus, type LabPod } from '../../lab/multus.ts'
import type { LabNetns } from '../../lab/netns.ts'
import type { LabNode } from '../../lab/node.ts'

const PREFIX = 'multus-test-'

export interface MultusNode {
  readonly name: string
  readonly multus: LabMultus
  readonly node: LabNode
  readonly netns: LabNetns
}

export interface MultusNodes extends AsyncDisposable {
  readonly list: readonly MultusNode[]
  /** Wires that have an end or a tunnel on one of the nodes. */
  readonly listWires: () => Promise<readonly string[]>
}

/**
 * Nodes that share an underlay, whose agents keep wires in the API. Of a node with an address of its own in the list
 * every pod has that one.
 */
export async function newMultusNodes(
  api: LabApiServer,
  count: number,
  onlyAddresses: readonly string[] = [],
): Promise<MultusNodes> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster({ count, api, prefix: PREFIX }))
  const list: MultusNode[] = []
  for (const [at, { node, netns }] of cluster.nodes.entries()) {
    const only = { onlyAddress: onlyAddresses[at] }
    const multus = made.use(await newLabMultus(api, netns, node.socket, only))
    list.push({ name: `${PREFIX}${at + 1}`, node, netns, multus })
  }
  const labels = list.map(({ name }) => toNodeLabel(name))
  const resources = made.move()
  return {
    list,
    listWires: async () => {
      const lists = labels.map(async (label) =>
        api.kubectl(['get', 'wires', '-A', '-l', label, '-o', 'name']),
      )
      return (await Promise.all(lists)).flatMap((text) => text.split('\n')).filter(Boolean)
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** A cable, or a binding. */
export function newNad(namespace: string, config: Manifest): Manifest {
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { namespace, name: config['name'] },
    spec: { config: JSON.stringify({ cniVersion: '1.1.0', ...config }) },
  }
}

export interface PluggedPodOptions {
  readonly namespace: string
  readonly name: string
  readonly networks: readonly Manifest[]
  readonly isLauncher?: boolean
}

/** A pod that Multus has plugged in, unplugged when it is disposed of. */
export async function newPluggedPod(
  api: LabApiServer,
  multus: LabMultus,
  options: PluggedPodOptions,
): Promise<LabPod> {
  await using made = new AsyncDisposableStack()
  const pod = made.use(await newLabPod(api, options))
  made.defer(async () => {
    await multus.mustCall('DEL', pod)
  })
  await multus.mustCall('ADD', pod)
  const resources = made.move()
  return { ...pod, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}
