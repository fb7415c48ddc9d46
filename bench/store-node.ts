// A node as the store knows it, without a kernel: the store and watch of an agent, and the agent's own code
// for what it asks the store: claims, VNIs, reports. Joining takes no time here.
import { pino } from 'pino'

import { newKeyQueue } from '../agent/key-queue.ts'
import { newLeads } from '../agent/leads.ts'
import { newLeaseServers } from '../agent/lease-servers.ts'
import type { Node } from '../agent/node.ts'
import { report, toReport } from '../agent/report.ts'
import { newStanding } from '../agent/stand-down.ts'
import { newAttachmentState } from '../agent/state.ts'
import { prepareTunnel } from '../agent/tunnel.ts'
import { toClaim, toWireAttachment, type WireAttachment } from '../core/attachment.ts'
import { decodePluginConfig } from '../core/cni/config.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { claimEnd, findFarEnd, mayOpenTunnel, toWireKey, type WireId } from '../core/wire.ts'
import { summarizeWire } from '../core/wire-summary.ts'
import { run } from '../kernel/run.ts'
import type { WireStore } from '../store/wire-store.ts'

export interface StoreNode extends Disposable {
  readonly plug: (wire: string) => Promise<void>
  /** Whether the wire is connected, as far as this node has heard. */
  readonly isConnected: (wire: string) => Promise<boolean>
  /** Changes that it was told of wires it has nothing of. */
  readonly countForeign: () => number
  /** How often the API was too busy for what was asked, and was asked again. */
  readonly countRepeats: () => number
}

const NAMESPACE = 'default'
const AGAIN_MS = 1_000
const NETNS = { path: '/run/netns/none', inode: 0, bootId: '' }

export async function newStoreNode(at: number, store: WireStore): Promise<StoreNode> {
  const node = newNode(at, store)
  const ends = new Map<string, WireAttachment>()
  const waiting = new Set<string>()
  let foreign = 0
  let repeats = 0

  const look = async (id: WireId, end: WireAttachment): Promise<void> => {
    const wire = await store.read(id)
    if (wire === undefined) return
    const far = findFarEnd(wire, node.name)
    if (far !== undefined) {
      if (!mayOpenTunnel(wire, node.name)) return
      await prepareTunnel(node, end, far)
    }
    const state = far === undefined ? 'waiting' : 'joined'
    report(node, id, [], toReport(node, wire, state))
  }
  // A runtime asks again where the answer is "try again later".
  const claim = async (end: WireAttachment): Promise<boolean> => {
    const { wire } = end
    const claimed = toClaim(end, node.underlay?.address ?? '')
    try {
      await node.queue(toWireKey(wire), async () => {
        await store.update(wire, (current) => claimEnd(current, wire, claimed))
        await look(wire, end)
      })
      return true
    } catch (error) {
      if (error instanceof CniError && error.code === CNI_CODE.TRY_AGAIN_LATER) return false
      throw error
    }
  }
  const follow = (id: WireId): void => {
    const key = toWireKey(id)
    const end = ends.get(key)
    if (end === undefined) foreign += 1
    // Several changes are one look.
    if (end === undefined || waiting.has(key)) return
    waiting.add(key)
    node
      .queue(key, async () => {
        waiting.delete(key)
        await look(id, end)
      })
      .catch(() => {
        repeats += 1
        setTimeout(() => follow(id), AGAIN_MS).unref()
      })
  }
  await node.standing.takeName()
  const watching = await store.watch(follow, () => {
    repeats += 1
  })
  return {
    plug: async (wire) => {
      const end = newEnd(node, wire)
      ends.set(toWireKey(end.wire), end)
      while (!(await claim(end))) repeats += 1
    },
    isConnected: async (name) => {
      const wire = await store.read({ namespace: NAMESPACE, name })
      return wire !== undefined && summarizeWire(wire).state === 'Connected'
    },
    countForeign: () => foreign,
    countRepeats: () => repeats,
    [Symbol.dispose]: () => {
      watching[Symbol.dispose]()
      node.standing[Symbol.dispose]()
    },
  }
}

function newNode(at: number, store: WireStore): Node {
  const vniRange = { first: 4096, last: 16_777_215 }
  const name = `node-${at}`
  const log = pino({ level: 'silent' })
  const standing = newStanding(store, name, name, log)
  return {
    name,
    mtuBytes: 1450,
    underlay: { address: `192.0.2.${at}`, port: 14_789, vniRange },
    run,
    netSysctls: '',
    resolvConf: { own: '/etc/resolv.conf', node: undefined },
    classifier: 'matchall',
    store: standing.store,
    standing,
    cluster: undefined,
    state: newAttachmentState('/nonexistent'),
    owners: new Map(),
    lookedAt: new Map(),
    wantedUp: new Map(),
    leads: newLeads(),
    releasedFolder: '/nonexistent',
    leaving: new Set(),
    leaseServers: newLeaseServers(log, '/nonexistent', async () => true),
    macvtaps: { folder: '/nonexistent', count: 1, podResources: undefined },
    queue: newKeyQueue(),
    log,
  }
}

function newEnd(node: Node, wire: string): WireAttachment {
  const pod = `on-${node.name}`
  const args = {
    command: 'ADD' as const,
    containerID: `${wire}-${pod}`,
    netns: NETNS.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=${NAMESPACE};K8S_POD_NAME=${wire}-${pod}`,
    path: '',
  }
  const config = decodePluginConfig({ cniVersion: '1.1.0', name: wire, type: 'l2wire' }, args)
  if (config.type !== 'l2wire') throw new Error('unreachable: it is a wire')
  return toWireAttachment(args, config, NETNS, node)
}
