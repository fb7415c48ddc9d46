// A node as the store knows it, without a kernel: the store and watch of an agent, and the agent's own code
// for what it asks the store: claims, VNIs, reports. Joining takes no time here.
import { pino } from 'pino'

import { newTurns } from '../agent/turns.ts'
import { newAwaitedGuests } from '../agent/wire/awaited.ts'
import { newLinkCache } from '../agent/wire/link-cache.ts'
import { newDhcpServers } from '../agent/podnetwork/servers.ts'
import type { AgentContext } from '../agent/context.ts'
import { report, toReport } from '../agent/wire/report.ts'
import { newAttachmentState } from '../agent/state.ts'
import { prepareTunnel } from '../agent/wire/tunnel.ts'
import { toClaim, toWireAttachment, type WireAttachment } from '../core/attach/attachment.ts'
import { decodePluginConfig } from '../core/cni/config.ts'
import { CNI_CODE, CniError } from '../core/errors.ts'
import { claimEnd } from '../core/wire/ends.ts'
import { findFarEnd, mayOpenTunnel, toWireKey, type WireId } from '../core/wire/wire.ts'
import { summarizeWire } from '../core/wire/summary.ts'
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
  /** VNIs of tunnels that a real node would have made. */
  const running = new Map<string, number>()
  let foreign = 0
  let repeats = 0

  const look = async (id: WireId, end: WireAttachment): Promise<void> => {
    const wire = await store.read(id)
    if (wire === undefined) return
    const far = findFarEnd(wire, node.name)
    if (far !== undefined) {
      if (!mayOpenTunnel(wire, node.name)) return
      const { vni } = await prepareTunnel(
        node,
        end,
        { end: far, others: [] },
        running.get(toWireKey(id)),
      )
      running.set(toWireKey(id), vni)
    }
    const state = far === undefined ? 'waiting' : 'joined'
    report(node, id, [], toReport(node, wire, state))
  }
  // A runtime asks again where the answer is "try again later".
  const claim = async (end: WireAttachment): Promise<boolean> => {
    const { wire } = end
    const claimed = toClaim(end, node.underlay?.address ?? '')
    try {
      await node.turns.wire(wire, async () => {
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
    node.turns
      .wire(id, async () => {
        waiting.delete(key)
        await look(id, end)
      })
      .catch(() => {
        repeats += 1
        setTimeout(() => follow(id), AGAIN_MS).unref()
      })
  }
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
    },
  }
}

function newNode(at: number, store: WireStore): AgentContext {
  const vniRange = { first: 4096, last: 16_777_215 }
  const name = `node-${at}`
  const log = pino({ level: 'silent' })
  return {
    name,
    mtuBytes: 1450,
    checksPath: true,
    underlay: { address: `192.0.2.${at}`, port: 14_789, vniRange },
    run,
    netSysctls: '',
    resolvConf: { own: '/etc/resolv.conf', node: undefined },
    classifier: 'matchall',
    store,
    cluster: undefined,
    state: newAttachmentState('/nonexistent'),
    podEndStates: new Map(),
    arrivals: new Map(),
    awaited: newAwaitedGuests(),
    heard: new Map(),
    known: new Map(),
    lookedAt: new Map(),
    wanted: new Map(),
    linkCache: newLinkCache(),
    unwritten: new Map(),
    tellings: new Map(),
    carrierShown: new Map(),
    releasedFolder: '/nonexistent',
    leaving: new Set(),
    dhcpServers: newDhcpServers(log, '/nonexistent', async () => true),
    macvtaps: { folder: '/nonexistent', count: 1, podResources: undefined },
    turns: newTurns(),
    log,
  }
}

function newEnd(node: AgentContext, wire: string): WireAttachment {
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
