// What restarts are done to: wires of a VM and of containers, within the node that is broken and across to one that
// is not, under pings that are numbered. And what has to be up again afterwards.
import { expect } from 'chai'

import type { KubeCluster, KubeNode } from '../../lab/kube/cluster.ts'
import { hasCondition } from '../../lab/kube/status.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import type { ContainerPlace } from './fixture-containers.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'
import { watchPings, type PingWatch } from './fixture-ping-watch.ts'
import { findEnd } from './fixture-wired.ts'

export interface RestartScene {
  readonly place: Place
  readonly cluster: KubeCluster
  /** Left alone: h1 is here, and whoever pings. */
  readonly home: KubeNode
  /** The last one, on which everything is broken: h2 and the VM r1 are here. */
  readonly victim: KubeNode
}

/** far: h1 to h2. vm-far: h1 to r1. vm-near: h2 to r1. */
export const WIRES = ['far', 'vm-far', 'vm-near']
/** A cable whose ends may have addresses. */
export const WITH_ADDRESSES = { capabilities: { ips: true } }

const MORE_MS = 300_000
const LOOK_MS = 500

export async function newRestartScene(): Promise<RestartScene> {
  const place = await newPlace()
  const { cluster } = place
  const [home, victim] = [cluster.nodes.at(0), cluster.nodes.at(-1)]
  if (home === undefined || victim === undefined || home === victim)
    throw new RangeError(`Nodes of the cluster: ${cluster.nodes.length}, expected two at least`)
  for (const wire of WIRES) await place.addCable(wire, WITH_ADDRESSES)
  const words = ['l2w.ip=eth1:10.9.1.2/24', 'l2w.ip=eth2:10.9.2.2/24']
  await Promise.all([
    place.addPod('h1', home.name, [
      { name: 'far', ips: ['10.9.0.1/24'] },
      { name: 'vm-far', ips: ['10.9.1.1/24'] },
    ]),
    place.addPod('h2', victim.name, [
      { name: 'far', ips: ['10.9.0.2/24'] },
      { name: 'vm-near', ips: ['10.9.2.1/24'] },
    ]),
    place.addVm('r1', victim.name, ['vm-far', 'vm-near'], words),
  ])
  return { place, cluster, home, victim }
}

/** Of far and vm-far. */
export async function watchFar({
  place,
  home: node,
}: RestartScene): Promise<readonly [PingWatch, PingWatch]> {
  const from = { node, pod: 'h1' }
  return Promise.all([watchPings(place, from, '10.9.0.2'), watchPings(place, from, '10.9.1.2')])
}

/** It ends with the container of h2. */
export async function watchNear({ place, victim }: RestartScene): Promise<PingWatch> {
  return watchPings(place, { node: victim, pod: 'h2' }, '10.9.2.2')
}

/** Acts; no ping of these is lost and no carrier, from before the act until some time after. */
export async function expectUndisturbed(
  watches: readonly PingWatch[],
  act: () => Promise<void>,
): Promise<void> {
  const before = await Promise.all(
    watches.map(async (watch) => ({
      watch,
      newest: await watch.readNewest(),
      carrierLosses: await watch.readCarrierLosses(),
    })),
  )
  await act()
  for (const { watch, newest, carrierLosses } of before) {
    await watch.expectAllSince(newest)
    expect(await watch.readCarrierLosses(), 'carrier losses').to.equal(carrierLosses)
  }
}

/** Acts, and waits until another sandbox than before has this holder's end of each of these wires. */
export async function expectNewEnd(
  place: Place,
  { wires, holder }: { readonly wires: readonly string[]; readonly holder: string },
  act: () => Promise<void>,
): Promise<readonly string[]> {
  const readIds = async (): Promise<readonly (string | undefined)[]> =>
    Promise.all(wires.map(async (wire) => (await findEnd(place, wire, holder))?.containerID))
  const before = await readIds()
  await act()
  const isNew = async (): Promise<boolean> =>
    (await readIds()).every((id, at) => id !== undefined && id !== before[at])
  await waitFor(`${holder} is plugged in anew`, isNew, { timeoutMs: MORE_MS, everyMs: LOOK_MS })
  return before.flatMap((id) => id ?? [])
}

export interface AgentPod {
  readonly place: ContainerPlace
  readonly restarts: number
  readonly isReady: boolean
}

export async function readAgent({ cluster }: RestartScene, node: KubeNode): Promise<AgentPod> {
  const namespace = 'l2wire'
  const pods = (await listPods(cluster, namespace)).filter(
    (pod) => getMapping(pod, 'spec')['nodeName'] === node.name,
  )
  const [pod] = pods
  if (pod === undefined || pods.length > 1)
    throw new Error(`Agents on ${node.name}: ${pods.length}, expected one`)
  const { containerStatuses } = getMapping(pod, 'status')
  const [status] = containerStatuses as readonly Manifest[]
  return {
    place: { node, namespace, pod: getName(pod), container: 'agent' },
    restarts: Number(status?.['restartCount']),
    isReady: hasCondition(pod, 'Ready') && status?.['ready'] === true,
  }
}

/** Of a node whose agent was started anew by its kubelet; so often since. */
export async function waitForAgent(
  scene: RestartScene,
  node: KubeNode,
  isBack: (agent: AgentPod) => boolean,
): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const agent = await readAgent(scene, node)
    return agent.isReady && isBack(agent)
  }
  await waitFor(`the agent of ${node.name} is Ready`, isSo, {
    timeoutMs: MORE_MS,
    everyMs: LOOK_MS,
  })
}

/** Waits until all nodes are Ready, and all pods of these namespaces that are to run: none is stuck. */
export async function waitUntilAllRun(
  cluster: KubeCluster,
  namespaces: readonly string[],
): Promise<void> {
  let stuck: readonly string[] = []
  const isAll = async (): Promise<boolean> => {
    const { items } = JSON.parse(await cluster.kubectl(['get', 'nodes', '-o', 'json'])) as Listed
    stuck = items.filter((node) => !hasCondition(node, 'Ready')).map(getName)
    for (const namespace of namespaces) {
      const pods = await listPods(cluster, namespace)
      stuck = [...stuck, ...pods.filter((pod) => !isWell(pod)).map(getName)]
    }
    return stuck.length === 0
  }
  await waitFor('all pods run', isAll, { timeoutMs: MORE_MS, everyMs: LOOK_MS }).catch(
    (cause: unknown) => {
      throw new Error(`Not well again: ${stuck.join(', ')}`, { cause })
    },
  )
}

interface Listed {
  readonly items: readonly Manifest[]
}

async function listPods({ kubectl }: KubeCluster, namespace: string): Promise<readonly Manifest[]> {
  const text = await kubectl(['-n', namespace, 'get', 'pods', '-o', 'json'])
  return (JSON.parse(text) as Listed).items
}

function isWell(pod: Manifest): boolean {
  if (getMapping(pod, 'metadata')['deletionTimestamp'] !== undefined) return false
  const hasEnded = ['Succeeded', 'Failed'].includes(String(getMapping(pod, 'status')['phase']))
  return hasEnded || hasCondition(pod, 'Ready')
}

function getName(object: Manifest): string {
  return String(getMapping(object, 'metadata')['name'])
}
