// The running cluster, as whoever works with it sees it; lab/kube/up.ts makes it.
//
//   const cluster = await openKubeCluster()
//   await cluster.kubectl(['get', 'pods', '-A'])
//   await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', … })
//   await cluster.run(['kubectl-l2wire', 'doctor'])            // in the fabric's network, as cluster-shell
//   const node = cluster.getNode('n2')
//   await node.run(['ip', 'link'])
//   await node.powerOff(); await node.powerOn()
//   await node.unplug(); await node.plugIn()                     // it runs on, and nobody reaches it
//   await node.restart('kubelet')                                // containerd, kube-proxy; its pods live on
//   await node.machine.signal('kubelet', 'SIGSTOP')              // one that hangs; SIGCONT
//   await cluster.fabric.stop('kube-apiserver'); await cluster.startControlPlane()
//   await node.machine.readLog('kubelet')                        // also "multus", "init"
import { newAdmin, toShellArgv, type Admin } from './kubectl.ts'
import { startControlPlane } from './control-plane.ts'
import { plugInNode, unplugNode } from './fabric.ts'
import { loadImages, type ImageFile } from './load-images.ts'
import { newMachine, type Machine } from './machine.ts'
import { bootNode, NODE_DAEMONS, startNodeDaemon, type NodeDaemon } from './node.ts'
import type { ClusterPlan, NodePlan } from './plan.ts'
import { readPlan } from './state.ts'
import { succeeds } from './wait.ts'

export interface KubeNode {
  readonly name: string
  /** IPv4 first. */
  readonly addresses: readonly string[]
  readonly machine: Machine
  /** Runs argv on the node. Throws CommandError. */
  readonly run: Machine['run']
  /** Powers the node off, like pulling the plug: all its processes end at once, and the API hears nothing. */
  readonly powerOff: () => Promise<void>
  /**
   * Powers it on with the contents of its disk. Its daemons run when it returns; the cluster sees it Ready a
   * little later.
   */
  readonly powerOn: () => Promise<void>
  /** Pulls its network cable, or plugs it in. Its processes keep running. */
  readonly unplug: () => Promise<void>
  readonly plugIn: () => Promise<void>
  readonly start: (daemon: NodeDaemon) => Promise<void>
  readonly stop: (daemon: NodeDaemon) => Promise<void>
  readonly restart: (daemon: NodeDaemon) => Promise<void>
  readonly loadImages: (images: readonly ImageFile[]) => Promise<void>
}

export interface KubeCluster extends Admin {
  readonly plan: ClusterPlan
  readonly fabric: Machine
  readonly nodes: readonly KubeNode[]
  /** Throws RangeError if there is none of that name. */
  readonly getNode: (name: string) => KubeNode
  /** The argv by which run runs argv, for callers that want the process itself, with toShellEnvironment(). */
  readonly enter: (argv: readonly string[]) => Promise<readonly string[]>
  /** Starts the parts that do not run. The API server serves when it returns. */
  readonly startControlPlane: () => Promise<void>
}

/** Throws if there is none. */
export async function openKubeCluster(): Promise<KubeCluster> {
  return toKubeCluster(await readPlan())
}

/** The machines need not be on. */
export function toKubeCluster(plan: ClusterPlan): KubeCluster {
  const fabric = newMachine(plan.fabric.name)
  const admin = newAdmin(fabric)
  const isApiReady = async (): Promise<boolean> =>
    succeeds(async () => admin.kubectl(['get', '--raw', '/readyz']))
  const nodes = plan.nodes.map((node) => toKubeNode(plan, fabric, node))
  return {
    ...admin,
    plan,
    fabric,
    nodes,
    getNode: (name) => {
      const node = nodes.find((node) => node.name === name)
      if (node !== undefined) return node
      const names = nodes.map(({ name }) => name).join(', ')
      throw new RangeError(`No node "${name}" in this cluster, expected one of ${names}`)
    },
    enter: async (argv) => toShellArgv(fabric, argv),
    startControlPlane: async () => startControlPlane(plan, fabric, isApiReady),
  }
}

function toKubeNode(plan: ClusterPlan, fabric: Machine, node: NodePlan): KubeNode {
  const machine = newMachine(node.name)
  const start = async (daemon: NodeDaemon): Promise<void> => startNodeDaemon(machine, node, daemon)
  const stop = async (daemon: NodeDaemon): Promise<void> => machine.stop(daemon)
  return {
    name: node.name,
    addresses: node.addresses,
    machine,
    run: machine.run,
    powerOff: machine.powerOff,
    powerOn: async () => {
      await bootNode(plan, fabric, node)
      for (const daemon of NODE_DAEMONS) await start(daemon)
    },
    unplug: async () => unplugNode(fabric, node.name),
    plugIn: async () => plugInNode(plan, fabric, { node, machine }),
    start,
    stop,
    restart: async (daemon) => {
      await stop(daemon)
      await start(daemon)
    },
    loadImages: async (images) => loadImages(machine, images),
  }
}
