// Brings a cluster up to ready nodes: fabric, control plane, DNS, Multus, nodes with their images.
import type { Say } from '../go-build.ts'
import type { KubeCluster } from './cluster.ts'
import { ensureKeys } from './control-plane.ts'
import { installDns } from './dns.ts'
import { startFabric } from './fabric.ts'
import type { ImageFile } from './load-images.ts'
import { installMultus, newMultusToken } from './multus.ts'
import { toNodeObject } from './node-config.ts'
import { bootNode, layOutNode, writeMultusKubeconfig } from './node.ts'
import type { NodePlan } from './plan.ts'
import { hasCondition } from './status.ts'
import { waitFor } from './wait.ts'

const READY_MS = 180_000

/** The programs are on the cluster's PATH. Every node is Ready when it returns. */
export async function bringNodesUp(
  cluster: KubeCluster,
  images: readonly ImageFile[],
  say: Say,
): Promise<void> {
  const { plan, fabric } = cluster
  await ensureKeys(plan)
  await startFabric(plan, fabric)
  await cluster.startControlPlane()
  say('the API server serves')
  await installMultus(cluster)
  await installDns(cluster)
  await Promise.all(plan.nodes.map(async (node) => prepareNode(cluster, node, images, say)))
  for (const node of plan.nodes) await joinNode(cluster, node)
  for (const node of plan.nodes) {
    await waitUntilReady(cluster, node)
    say(`${node.name} is Ready`)
  }
}

async function prepareNode(
  cluster: KubeCluster,
  node: NodePlan,
  images: readonly ImageFile[],
  say: Say,
): Promise<void> {
  const { plan, fabric } = cluster
  const { machine, loadImages } = cluster.getNode(node.name)
  if (!(await machine.isOn())) {
    await layOutNode(plan, node)
    await writeMultusKubeconfig(plan, node, await newMultusToken(cluster))
  }
  await bootNode(plan, fabric, node)
  say(`${node.name}: containerd serves`)
  await loadImages(images)
  say(`${node.name}: ${images.length} images are in`)
}

/** Before the kubelet does, because the kubelet may not set everything of its node. */
async function joinNode(cluster: KubeCluster, node: NodePlan): Promise<void> {
  await cluster.apply(toNodeObject(node))
  const { start } = cluster.getNode(node.name)
  await start('kubelet')
  await start('kube-proxy')
}

async function waitUntilReady(cluster: KubeCluster, { name }: NodePlan): Promise<void> {
  const { machine } = cluster.getNode(name)
  const isReady = async (): Promise<boolean> =>
    hasCondition(await cluster.getObject('node', name), 'Ready')
  const daemons = ['kubelet']
  await waitFor(`node ${name} is Ready`, isReady, { timeoutMs: READY_MS, machine, daemons })
}
