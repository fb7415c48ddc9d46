// Many wires over many nodes in one real API server: how long until all are connected, what each costs in
// requests, what a node hears of wires that are not its own, what its store holds in memory.
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import { CniError } from '../core/errors.ts'
import { newLabApiServer, type LabApiServer } from '../lab/api-server.ts'
import type { WireStore } from '../store/wire-store.ts'
import { countApiRequests, countWatchEvents, subtractCounts, sumCounts } from './api-metrics.ts'
import { toFigureRow, toRatioRow, type Row } from './row.ts'
import { newStoreNode, type StoreNode } from './store-node.ts'

const NODES = 20
const FEW = 200
const MANY = 2_000
const PLUGS_AT_ONCE = 4
const PATIENCE_MS = 300_000

interface Wire {
  readonly name: string
  readonly on: readonly [StoreNode, StoreNode]
}

interface Cost {
  readonly wires: number
  readonly seconds: number
  readonly requests: ReadonlyMap<string, number>
  readonly events: number
}

export async function benchManyNodes(): Promise<readonly Row[]> {
  await using made = new AsyncDisposableStack()
  const api = made.use(await newLabApiServer())
  await api.installCrds()
  const { openNodeCluster } = await import('../store/kubernetes/open-cluster.ts')
  await waitForStorage(openNodeCluster({ kubeconfig: api.kubeconfig }, 'nobody').store)
  const open = async (at: number): Promise<StoreNode> => {
    const { store } = openNodeCluster({ kubeconfig: api.kubeconfig }, `node-${at}`)
    return made.use(await newStoreNode(at, store))
  }
  // The library's own share of memory is there before the first store is counted.
  const idle = await open(NODES + 1)
  const memoryBefore = measureMemory()
  const nodes: StoreNode[] = []
  for (let at = 1; at <= NODES; at += 1) nodes.push(await open(at))
  const few = await connect(api, nodes, 0, FEW)
  const many = await connect(api, nodes, FEW, MANY)
  const memory = (measureMemory() - memoryBefore) / NODES
  await expectConnected(api, MANY)
  const foreign = [...nodes, idle].reduce((sum, node) => sum + node.countForeign(), 0)
  const repeats = nodes.reduce((sum, node) => sum + node.countRepeats(), 0)
  const both = (read: (cost: Cost) => number): string =>
    [few, many].map((cost) => read(cost).toFixed(1)).join(' / ')
  const steps = `first ${FEW} / next ${MANY - FEW} wires`
  return [
    toFigureRow(`all connected, ${steps}`, `${both((cost) => cost.seconds)} s`),
    toFigureRow(`API requests per wire, ${steps}`, both(getRequests)),
    ...[...many.requests].map(([what, count]) =>
      toFigureRow(`of these ${what}`, (count / many.wires).toFixed(2)),
    ),
    toFigureRow(
      `watch events per wire, ${steps}`,
      both(({ events, wires }) => events / wires),
    ),
    toRatioRow('API requests per wire, next to first', getRequests(many) / getRequests(few), {
      atMost: 1.1,
    }),
    toRatioRow('changes of wires elsewhere that nodes are told of', foreign, { atMost: 0 }),
    toFigureRow('asked again, the API being too busy', String(repeats)),
    toFigureRow(
      `memory per node store, ${(2 * MANY) / NODES} ends each`,
      `${(memory / 1e6).toFixed(1)} MB`,
    ),
  ]
}

// New kinds are served a moment before they are kept.
async function waitForStorage(store: WireStore): Promise<void> {
  for (let tries = 1; ; tries += 1)
    try {
      await store.probe()
      await store.listVnis()
      return
    } catch (error) {
      if (!(error instanceof CniError) || tries === 50) throw error
      await sleep(200)
    }
}

async function connect(
  api: LabApiServer,
  nodes: readonly StoreNode[],
  from: number,
  to: number,
): Promise<Cost> {
  const wires = Array.from({ length: to - from }, (_, at) => newWire(nodes, from + at))
  const eventsBefore = await countWatchEvents(api)
  const before = await countApiRequests(api)
  const started = performance.now()
  await Promise.all(
    nodes.map(async (node) =>
      plugSome(
        node,
        wires.filter(({ on }) => on.includes(node)),
      ),
    ),
  )
  await waitForAll(wires)
  const seconds = (performance.now() - started) / 1000
  // The other end's node may be about to hear what one of them has heard.
  await sleep(1000)
  return {
    wires: to - from,
    seconds,
    requests: subtractCounts(await countApiRequests(api), before),
    events: (await countWatchEvents(api)) - eventsBefore,
  }
}

/** Every pair of nodes that are 1 to 19 apart, over and over: all have as many ends. */
function newWire(nodes: readonly StoreNode[], at: number): Wire {
  const first = at % NODES
  const apart = 1 + (Math.floor(at / NODES) % (NODES - 1))
  const [a, b] = [nodes[first], nodes[(first + apart) % NODES]]
  if (a === undefined || b === undefined) throw new Error('unreachable: all nodes are there')
  return { name: `wire-${at}`, on: [a, b] }
}

async function plugSome(node: StoreNode, wires: readonly Wire[]): Promise<void> {
  const left = [...wires]
  const work = async (): Promise<void> => {
    for (let wire = left.shift(); wire !== undefined; wire = left.shift())
      await node.plug(wire.name)
  }
  await Promise.all(Array.from({ length: PLUGS_AT_ONCE }, work))
}

async function waitForAll(wires: readonly Wire[]): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  let left = wires
  for (;;) {
    const still: Wire[] = []
    // From what the node has heard by its watch, which costs no request.
    for (const wire of left) if (!(await wire.on[0].isConnected(wire.name))) still.push(wire)
    left = still
    if (left.length === 0) return
    if (performance.now() > deadline)
      throw new Error(`${left.length} of ${wires.length} wires do not get connected`)
    await sleep(200)
  }
}

/** What users see of it. */
async function expectConnected(api: LabApiServer, count: number): Promise<void> {
  const path = '{range .items[*]}{.status.conditions[?(@.type=="Connected")].status}{"\\n"}{end}'
  const text = await api.kubectl(['get', 'wires', '-n', 'default', '-o', `jsonpath=${path}`])
  const connected = text.split('\n').filter((line) => line === 'True').length
  if (connected !== count)
    throw new Error(`The API shows ${connected} connected wires, expected ${count}`)
}

function measureMemory(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function getRequests({ requests, wires }: Cost): number {
  return sumCounts(requests) / wires
}
