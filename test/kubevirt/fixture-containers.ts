// Containers as the containerd of their node knows them: they are reached without API server and kubelet.
import type { KubeNode } from '../../lab/kube/cluster.ts'
import { CTR } from '../../lab/kube/load-images.ts'

export interface ContainerPlace {
  readonly node: KubeNode
  readonly namespace: string
  readonly pod: string
  /** Undefined for the one that holds the pod's namespaces, whose only process is "pause". */
  readonly container: string | undefined
}

export interface Container {
  readonly id: string
  /** Its first process, as its node numbers it. */
  readonly pid: number
}

/** The one that runs. Throws when there is none, or more. */
export async function findContainer(place: ContainerPlace): Promise<Container> {
  const found = await listContainers(place)
  const [container, ...more] = found
  if (container === undefined || more.length > 0)
    throw new Error(
      `Running containers "${place.container ?? 'pause'}" of ${place.namespace}/${place.pod} on ${place.node.name}: ${found.length}, expected one`,
    )
  return container
}

/** Those that run. */
export async function listContainers(place: ContainerPlace): Promise<readonly Container[]> {
  const { node, namespace, pod, container } = place
  const labels = {
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.name': pod,
    ...(container === undefined
      ? { 'io.cri-containerd.kind': 'sandbox' }
      : { 'io.kubernetes.container.name': container }),
  }
  const filter = Object.entries(labels).map(([name, value]) => `labels."${name}"=="${value}"`)
  const listed = await node.run([...CTR, 'containers', 'list', '--quiet', filter.join(',')])
  const tasks = await node.run([...CTR, 'tasks', 'list'])
  return [...tasks.matchAll(/^(\S+) +(\d+) +RUNNING/gm)].flatMap(([, id = '', pid]) =>
    listed.split('\n').includes(id) ? [{ id, pid: Number(pid) }] : [],
  )
}

/** Ends its first process by SIGKILL, and thereby all of it. */
export async function killContainer(place: ContainerPlace): Promise<void> {
  const { id } = await findContainer(place)
  await place.node.run([...CTR, 'tasks', 'kill', '--signal', 'SIGKILL', id])
}

/** Runs argv in all of its namespaces, by its node's kernel alone; what it leaves behind runs on. */
export async function runInContainer(
  node: KubeNode,
  { pid }: Container,
  argv: readonly string[],
): Promise<string> {
  return node.run(['nsenter', `--target=${pid}`, '--all', '--', ...argv], { timeoutMs: 60_000 })
}
