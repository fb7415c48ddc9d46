// Several nodes on one machine: a namespace each, joined by an underlay, with a real agent in each and one
// store for all.
import { cp, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { listFolder } from '../store/json-file.ts'
import type { LabApiServer } from './api-server.ts'
import { reachApi } from './api-reach.ts'
import { newLabNetns, type LabNetns } from './netns.ts'
import { listDocuments, newLabNode, type LabNode } from './node.ts'

export interface ClusterNode {
  readonly node: LabNode
  readonly netns: LabNetns
  readonly address: string
  /** Connects the node to the API that is its store, or cuts it off. Cutting off breaks its connections. */
  readonly setReachable: (isReachable: boolean) => Promise<void>
}

export interface LabCluster extends AsyncDisposable {
  readonly nodes: readonly ClusterNode[]
  /** The folder that the nodes share as their store, if there is no API. */
  readonly storeFolder: string
  /** The device that joins the nodes: a bridge with one port for each, "port1". */
  readonly fabric: LabNetns
  /** Takes the store away from all nodes, or gives it back. */
  readonly setStoreReachable: (isReachable: boolean) => Promise<void>
  /** File names in the shared store, "vni/…" for the VNIs in use. */
  readonly listStore: () => Promise<readonly string[]>
}

export interface LabClusterOptions {
  readonly count?: number
  /** Nodes are called n1, n2, and so on. If several clusters share an API, each has its own prefix. */
  readonly prefix?: string
  readonly ipVersion?: 4 | 6
  readonly underlayMtuBytes?: number
  /** Further options of the agents. */
  readonly more?: readonly string[]
  /** Wires in the Kubernetes API instead of a folder; each agent has the account of its node. */
  readonly api?: LabApiServer
}

/** The underlay's link in every node. */
export const UNDERLAY = 'underlay0'

export async function newLabCluster(options: LabClusterOptions = {}): Promise<LabCluster> {
  const { count = 2, ipVersion = 4, underlayMtuBytes = 1500 } = options
  await using made = new AsyncDisposableStack()
  const storeFolder = await mkdtemp(join(tmpdir(), 'l2w-store-'))
  made.defer(async () => {
    for (const folder of [storeFolder, `${storeFolder}.away`])
      await rm(folder, { recursive: true, force: true })
  })
  const fabric = made.use(await newLabNetns('underlay'))
  await fabric.run(['ip', 'link', 'add', 'name', 'l2wfab', 'type', 'bridge', 'mcast_snooping', '0'])
  await fabric.run(['ip', 'link', 'set', 'dev', 'l2wfab', 'up'])
  const nodes: ClusterNode[] = []
  for (let at = 1; at <= count; at += 1) {
    const netns = made.use(await newLabNetns(`node${at}`))
    const address = ipVersion === 6 ? `2001:db8::${at}` : `192.0.2.${at}`
    const mtu = ['mtu', String(underlayMtuBytes)]
    const peer = ['peer', 'name', `port${at}`, ...mtu, 'netns', fabric.path]
    await netns.run(['ip', 'link', 'add', 'name', UNDERLAY, ...mtu, 'type', 'veth', ...peer])
    const prefix = ipVersion === 6 ? '64' : '24'
    const nodad = ipVersion === 6 ? ['nodad'] : []
    await netns.run(['ip', 'address', 'add', `${address}/${prefix}`, 'dev', UNDERLAY, ...nodad])
    await netns.run(['ip', 'link', 'set', 'dev', UNDERLAY, 'up'])
    await fabric.run(['ip', 'link', 'set', 'dev', `port${at}`, 'master', 'l2wfab', 'up'])
    const { api, more = [] } = options
    let reach: AsyncDisposable | undefined
    const setReachable = async (isReachable: boolean): Promise<void> => {
      const old = reach
      reach = undefined
      await old?.[Symbol.asyncDispose]()
      if (isReachable && api !== undefined) reach = await reachApi(api, netns)
    }
    made.defer(async () => setReachable(false))
    await setReachable(true)
    const nodeName = `${options.prefix ?? 'n'}${at}`
    const kubeconfig = await api?.newAgentKubeconfig(nodeName)
    const store = kubeconfig === undefined ? { storeFolder } : { kubeconfig }
    const node = made.use(await newLabNode({ nodeName, netns, address, more, ...store }))
    nodes.push({ node, netns, address, setReachable })
  }
  const resources = made.move()
  return {
    nodes,
    storeFolder,
    fabric,
    setStoreReachable: async (isReachable) => {
      if (options.api !== undefined) for (const node of nodes) await node.setReachable(isReachable)
      else if (isReachable) {
        await rm(storeFolder)
        await rename(`${storeFolder}.away`, storeFolder)
      } else {
        await takeAway(storeFolder, `${storeFolder}.away`)
      }
    },
    listStore: async () => {
      const wires = (await listDocuments(storeFolder)).filter((file) => file !== 'vni')
      const vnis = await listFolder(join(storeFolder, 'vni'))
      return [...wires, ...vnis.map((vni) => `vni/${vni}`)]
    },
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

/** Leaves a file in the folder's place: a folder would be taken for a store that is empty. */
async function takeAway(folder: string, away: string): Promise<void> {
  await rename(folder, away)
  while (!(await putFile(folder))) {
    // Whoever was writing just then has made it anew.
    await cp(folder, away, { recursive: true })
    await rm(folder, { recursive: true })
  }
}

async function putFile(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
