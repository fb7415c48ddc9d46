// What l2wire costs in a whole cluster: "make bench-cluster", on the one of "make cluster-up". Pods and VMs with cables
// and without in turn; memory as the kubelet reports it; ADD as containerd sees it; what the images weigh.
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import type { KubeCluster, KubeNode } from '../lab/kube/cluster.ts'
import { RUNTIME_METRICS } from '../lab/kube/node-config.ts'
import { ensureOwnImages } from '../lab/kube/own-images.ts'
import { newPlace, type Place } from '../lab/kube/place.ts'
import { getMean, getMedian, getQuantile, toFigureRow, toRatioRow, type Row } from './row.ts'

const PODS = 20
const BURST = 20
const BURST_ROUNDS = 3
/** Of its "pod lifecycle event generator". */
const KUBELET_LOOK_MS = 1000
const VM_NICS = [0, 1, 4, 16]
const VM_ROUNDS = 3
const MEGABYTE = 1e6
/** What pods cost that start one after the other on a machine where other things happen. */
const NOISE = 1.1
const AGENT_IMAGE_BYTES = 200 * MEGABYTE

export async function benchCluster(): Promise<readonly Row[]> {
  await using place = await newPlace()
  const { cluster } = place
  const node = cluster.getNode('n1')
  return [
    ...(await measurePods(place, node)),
    ...(await measureVms(place)),
    ...(await measureMemory(cluster)),
    ...(await measureImages()),
  ]
}

/** What a pod may have beside its pod network: nothing; a cable; a NIC that Debian's plugin `bridge` makes, by Multus, too. */
type Kind = 'plain' | 'bridged' | 'wired'
const KINDS: readonly Kind[] = ['plain', 'bridged', 'wired']
const BRIDGE = 'l2wbench'

async function measurePods(place: Place, node: KubeNode): Promise<readonly Row[]> {
  await using bridged = new AsyncDisposableStack()
  bridged.defer(async () => void (await node.run(['ip', 'link', 'del', 'dev', BRIDGE])))
  // Debian's plugins know no newer version.
  await place.addCable('bridged', { cniVersion: '1.0.0', type: 'bridge', bridge: BRIDGE })
  // Its name tells it apart in an agent's log.
  const cable = place.namespace
  await place.addCable(cable)
  await place.addPod('far', 'n2', [cable])
  const networks = { plain: [], bridged: ['bridged'], wired: [cable] }
  const seconds: Record<Kind, number[]> = { plain: [], bridged: [], wired: [] }
  const adds: Record<Kind, number[]> = { plain: [], bridged: [], wired: [] }
  // What is loaded once is loaded then.
  for (const kind of KINDS) await timePod(place, networks[kind])
  for (let round = 0; round < PODS; round += 1)
    for (const kind of KINDS) {
      const start = await readAdds(node)
      seconds[kind].push(await timePod(place, networks[kind]))
      adds[kind].push(toMean(start, await readAdds(node)))
    }
  const bursts = await measureBursts(place)
  const renderEach = (render: (kind: Kind) => string): string => KINDS.map(render).join(', ')
  return [
    toRatioRow(
      `a pod until it is Ready, with a cable to with a NIC by plugin bridge, means of ${PODS}`,
      getMean(seconds.wired) / getMean(seconds.bridged),
      { atMost: NOISE },
    ),
    toFigureRow(
      'the same without, with a NIC by plugin bridge, with a cable: means',
      renderEach((kind) => `${getMean(seconds[kind]).toFixed(2)} s`),
    ),
    toFigureRow(
      'the same, p50 / p90',
      renderEach((kind) => renderSpread(seconds[kind])),
    ),
    toFigureRow(
      "containerd's set-up of a pod's networks, the same three, medians",
      renderEach((kind) => `${getMedian(adds[kind]).toFixed(0)} ms`),
    ),
    toFigureRow('of that ADD, as the agent logs it, median', await readAgentAdds(place)),
    toRatioRow(
      `${BURST} pods at once until all are Ready, with cables to with NICs by plugin bridge, medians of ${BURST_ROUNDS}`,
      getMedian(bursts.wired) / getMedian(bursts.bridged),
      { atMost: NOISE },
    ),
    toFigureRow(
      'the same three, medians',
      renderEach((kind) => `${getMedian(bursts[kind]).toFixed(1)} s`),
    ),
  ]
}

function renderSpread(seconds: readonly number[]): string {
  return [0.5, 0.9].map((share) => getQuantile(seconds, share).toFixed(2)).join(' / ') + ' s'
}

/** Seconds until it runs; it is gone when this returns. */
async function timePod(place: Place, cables: readonly string[]): Promise<number> {
  // The kubelet looks at its containers once a second, and what was deleted last ended by such a look: a pod made right
  // after it would always start at the same time before the next, and what takes 100 ms more would cost a second or nothing.
  await sleep(Math.random() * KUBELET_LOOK_MS)
  const started = performance.now()
  await place.addPod('near', 'n1', cables)
  const seconds = (performance.now() - started) / 1000
  await place.kubectl('delete', 'pod', 'near', '--wait=true')
  return seconds
}

const toPair = (at: number): string => `pair-${Math.floor(at / 2)}`

/** Pods of a burst are joined by cables two and two. */
async function measureBursts(place: Place): Promise<Record<Kind, readonly number[]>> {
  for (let at = 0; at < BURST; at += 2) await place.addCable(toPair(at))
  const toNetworks = {
    plain: () => [],
    bridged: () => ['bridged'],
    wired: (at: number) => [toPair(at)],
  }
  const seconds: Record<Kind, number[]> = { plain: [], bridged: [], wired: [] }
  for (let round = 0; round < BURST_ROUNDS; round += 1)
    for (const kind of KINDS) {
      const pods = Array.from({ length: BURST }, (_, at) => ({
        name: `burst-${at}`,
        cables: toNetworks[kind](at),
      }))
      const started = performance.now()
      await place.addPods('n1', pods)
      seconds[kind].push((performance.now() - started) / 1000)
      await place.kubectl('delete', 'pod', ...pods.map(({ name }) => name), '--wait=true')
    }
  return seconds
}

interface Adds {
  readonly seconds: number
  readonly count: number
}

/** Milliseconds of those between. */
function toMean(start: Adds, end: Adds): number {
  return ((end.seconds - start.seconds) / (end.count - start.count)) * 1000
}

/** All set-ups of pods' networks on a node until now. */
async function readAdds(node: KubeNode): Promise<Adds> {
  const text = await node.run(['curl', '-sS', `http://${RUNTIME_METRICS}/v1/metrics`])
  const read = (what: string): number => {
    const pattern = new RegExp(
      String.raw`^\w*network_plugin_operations_duration_seconds\w*_${what}\{operation_type=\"set_up_pod\"\} (\S+)$`,
      'm',
    )
    const found = pattern.exec(text)?.[1]
    if (found === undefined)
      throw new Error(`No ${what} of network set-ups among containerd's metrics, expected one`)
    return Number(found)
  }
  return { seconds: read('sum'), count: read('count') }
}

async function readAgentAdds({ cluster, namespace }: Place): Promise<string> {
  const argv = ['-n', 'l2wire', 'logs', '-l', 'app.kubernetes.io/name=l2wire-agent', '--tail=-1']
  const lines = (await cluster.kubectl(argv)).split('\n').filter((line) => line.startsWith('{'))
  const times = lines
    .filter((line) => line.includes(namespace))
    .map((line) => JSON.parse(line) as { readonly command?: string; readonly ms?: number })
    .filter(({ command }) => command === 'ADD')
    .map(({ ms = Number.NaN }) => ms)
  return `${getMedian(times).toFixed(0)} ms`
}

async function measureVms(place: Place): Promise<readonly Row[]> {
  const cables = Array.from({ length: Math.max(...VM_NICS) }, (_, at) => `cable-${at}`)
  for (const name of cables) await place.addCable(name)
  const times = new Map(VM_NICS.map((nics) => [nics, [] as number[]]))
  for (let round = 0; round < VM_ROUNDS; round += 1)
    for (const [nics, seconds] of times) {
      const started = performance.now()
      await place.addVm('vm', 'n1', cables.slice(0, nics))
      seconds.push((performance.now() - started) / 1000)
      await place.kubectl('delete', 'vm', 'vm', '--wait=true')
      await place.kubectl('wait', 'pod', '-l', 'kubevirt.io=virt-launcher', '--for=delete')
    }
  return [...times].map(([nics, seconds]) =>
    toFigureRow(
      `a VM with ${nics} cables to guest up, median of ${VM_ROUNDS}`,
      `${getMedian(seconds).toFixed(1)} s`,
    ),
  )
}

interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly name: string; readonly namespace: string }
    readonly containers?: readonly {
      readonly name: string
      readonly memory?: { readonly workingSetBytes?: number; readonly rssBytes?: number }
    }[]
  }[]
}

/** Of the agents, and of one sidecar. */
async function measureMemory(cluster: KubeCluster): Promise<readonly Row[]> {
  await using place = await newPlace()
  await place.addCable('cable')
  await place.addVm('vm', 'n1', ['cable'])
  const rows: Row[] = []
  for (const { what, namespace, container } of [
    { what: 'an agent', namespace: 'l2wire', container: /^agent$/ },
    { what: 'a sidecar', namespace: place.namespace, container: /^hook-sidecar/ },
  ]) {
    const path = '/api/v1/nodes/n1/proxy/stats/summary'
    const { pods } = JSON.parse(await cluster.kubectl(['get', '--raw', path])) as Summary
    const found = pods
      .filter(({ podRef }) => podRef.namespace === namespace)
      .flatMap(({ containers = [] }) => containers)
      .find(({ name }) => container.test(name))
    const toMegabytes = (bytes = Number.NaN): string => `${(bytes / MEGABYTE).toFixed(0)} MB`
    rows.push(
      toFigureRow(
        `${what}, as the kubelet reports it: working set, anonymous`,
        `${toMegabytes(found?.memory?.workingSetBytes)}, ${toMegabytes(found?.memory?.rssBytes)}`,
      ),
    )
  }
  return rows
}

async function measureImages(): Promise<readonly Row[]> {
  const images = await ensureOwnImages(() => undefined)
  return Promise.all(
    images.map(async ({ name, file }) => {
      const { size } = await stat(file)
      const shown = `${(size / MEGABYTE).toFixed(0)} MB`
      return {
        name: `image ${name}`,
        measured: shown,
        want: '<= 200 MB',
        met: size <= AGENT_IMAGE_BYTES,
      }
    }),
  )
}
