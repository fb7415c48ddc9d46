// The real side: nodes with agents, sandboxes, and a runtime's calls. Deeds are done here as the model
// has them, and everything is written down in the same words.
import { setTimeout as sleep } from 'node:timers/promises'

import { concatBytes, fromHex } from '../../core/tester/bytes.ts'
import { isTarget, releaseEnd } from '../../core/wire/ends.ts'
import { setUnplugged } from '../../core/wire/wire.ts'
import { run } from '../../kernel/run.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import type { Station } from '../../kernel/tester/station.ts'
import type { ClusterNode, LabCluster } from '../../lab/cluster.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import type { WireStore } from '../../store/wire-store.ts'
import { changeByHand, deleteByHand, wipe } from './by-hand.ts'
import type { Answer, Deed } from './deed.ts'
import { identify, look, type Identity, type IpLink } from './look.ts'
import { NODES, toKey, type Nic, type Plug } from './world.ts'

export interface ModelLabOptions {
  readonly cluster: LabCluster
  readonly store: WireStore
  /** The pods'. */
  readonly namespace: string
  /** How long everything may take to come to rest. */
  readonly restMs: number
}

export interface ModelLab extends AsyncDisposable {
  readonly restMs: number
  readonly perform: (deed: Deed) => Promise<Answer>
  readonly look: () => Promise<readonly string[]>
  /** Sends a frame from a NIC and tells what each NIC has received since: once somebody has, or as late as nobody does. */
  readonly send: (from: Nic, isHeard: boolean) => Promise<readonly string[]>
  /** The last lines of each agent's log. */
  readonly readLogs: () => string
}

const LOG_TAIL = 25
const LOG_WIDTH = 300

function toConfig({ wire: name }: Plug, isTarget = false): Manifest {
  const args = isTarget ? { args: { cni: { standby: true } } } : {}
  return { cniVersion: '1.1.0', name, type: 'l2wire', ...args }
}

/** As QEMU announces a guest that has come. */
const RARP = fromHex('ffffffffffff 020000000001 8035 0001 0800 06 04 0003')
const ANNOUNCEMENT = concatBytes(RARP, fromHex('020000000001 00000000 020000000001 00000000'))
/** How long a frame may take that nobody is to hear. */
const SILENCE_MS = 100
const POLL_MS = 20

/** The keys we read of `ip -j -s link show`. */
interface CountedLink {
  readonly ifname: string
  readonly stats64: { readonly rx: { readonly packets: number } }
}

/** How soon the guest says again that it has come, until it has its cable: the agent may just be starting. */
const AGAIN_MS = 300

export function newModelLab({ cluster, store, namespace, restMs }: ModelLabOptions): ModelLab {
  const sandboxes = new Map<string, LabNetns>()
  /** The nodes they are on. */
  const homes = new Map<string, string>()
  const identities = new Map<string, Identity>()
  const plugged = new Map<string, Plug>()
  let made = 0

  const getNode = (name: string): ClusterNode => {
    const found = cluster.nodes[NODES.findIndex((one) => one === name)]
    if (found === undefined) throw new Error(`No node "${name}"`)
    return found
  }

  const call = async (command: string, plug: Plug, isTarget = false): Promise<number> => {
    const { exitCode, output } = await getNode(plug.node).node.call(toConfig(plug, isTarget), {
      command,
      containerID: plug.sandbox,
      ifname: plug.ifname,
      // A sandbox that is gone has a path that leads nowhere.
      netns: sandboxes.get(plug.sandbox)?.path ?? `/run/netns/l2w-gone-${plug.sandbox}`,
      args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${plug.pod}`,
    })
    return exitCode === 0 ? 0 : Number(output?.['code'] ?? -1)
  }

  const plug = async (asked: Plug, isTarget = false): Promise<number> => {
    await ensureSandbox(asked)
    const code = await call('ADD', asked, isTarget)
    // As a runtime does: what failed is deleted.
    if (code !== 0) {
      await call('DEL', asked)
      await removeIfEmpty(asked.sandbox)
    } else {
      plugged.set(toKey(asked), asked)
      await moveIn(asked)
    }
    return code
  }

  /** The owner gives the interface an address, and remembers what it is. */
  const moveIn = async ({ sandbox, ifname }: Nic): Promise<void> => {
    const netns = sandboxes.get(sandbox)
    if (netns === undefined) return
    made += 1
    const address = `10.${Math.floor(made / 250) % 250}.${made % 250}.1/24`
    await netns.run(['ip', 'address', 'add', address, 'dev', ifname])
    const shown = await netns.run(['ip', '-j', 'address', 'show', 'dev', ifname])
    for (const link of JSON.parse(shown) as readonly IpLink[])
      if (link.ifname === ifname) identities.set(toKey({ sandbox, ifname }), identify(link))
  }

  const cutOver = async (target: Plug): Promise<void> => {
    const { sandbox: containerID, ifname, wire: name } = target
    await announceUntil(target, async () => {
      const wire = await store.read({ namespace, name })
      return !isTarget(wire, { containerID, ifname })
    })
  }

  const cutOverWithoutStore = async (target: Plug, far: Plug): Promise<void> => {
    await cluster.setStoreReachable(false)
    try {
      let heard: readonly string[] = []
      await announceUntil(target, async () => {
        heard = await send(far, false)
        return heard.join() === toKey(target)
      })
      if (heard.join() !== toKey(target))
        throw new Error(
          `Without the store a frame of ${toKey(far)} is heard by ${heard.join(', ') || 'nobody'}, expected ${toKey(target)}`,
        )
    } finally {
      await cluster.setStoreReachable(true)
    }
    await cutOver(target)
  }

  /** Or as long as everything may take. */
  const announceUntil = async (
    { sandbox, ifname }: Nic,
    isDone: () => Promise<boolean>,
  ): Promise<void> => {
    const guest = toStation({ sandbox, ifname })
    const deadline = Date.now() + restMs
    do {
      await guest.send([ANNOUNCEMENT])
      await sleep(AGAIN_MS)
    } while (!(await isDone()) && Date.now() < deadline)
  }

  const toStation = ({ sandbox, ifname }: Nic): Station => {
    const netns = sandboxes.get(sandbox)
    if (netns === undefined) throw new Error(`No sandbox "${sandbox}"`)
    return newNetnsStation(run, { label: sandbox, netns: netns.path, ifname })
  }

  /** Of each NIC. */
  const readReceived = async (): Promise<ReadonlyMap<string, number>> => {
    const read = [...sandboxes].map(async ([sandbox, netns]) => {
      const shown = await netns.run(['ip', '-j', '-s', 'link', 'show'])
      return (JSON.parse(shown) as readonly CountedLink[])
        .filter(({ ifname }) => ifname !== 'lo')
        .map(({ ifname, stats64 }) => [toKey({ sandbox, ifname }), stats64.rx.packets] as const)
    })
    return new Map((await Promise.all(read)).flat())
  }

  const send = async (from: Nic, isHeard: boolean): Promise<readonly string[]> => {
    const before = await readReceived()
    await toStation(from).send(newCountedFrames(1))
    const deadline = Date.now() + (isHeard ? restMs : SILENCE_MS)
    for (;;) {
      const now = await readReceived()
      const heard = [...now].flatMap(([nic, count]) =>
        Array.from({ length: count - (before.get(nic) ?? 0) }, () => nic),
      )
      if (heard.length > 0 || Date.now() > deadline) return heard
      await sleep(POLL_MS)
    }
  }

  const unplug = async (asked: Plug): Promise<number> => {
    const code = await call('DEL', asked)
    if (code !== 0) return code
    plugged.delete(toKey(asked))
    await removeIfEmpty(asked.sandbox)
    return code
  }

  const collect = async (lost: Plug): Promise<number> => {
    plugged.delete(toKey(lost))
    const known = [...plugged.values()].map(({ sandbox: containerID, ifname }) => ({
      containerID,
      ifname,
    }))
    const config = { ...toConfig(lost), 'cni.dev/valid-attachments': known }
    const { exitCode } = await getNode(lost.node).node.call(config, { command: 'GC' })
    await removeIfEmpty(lost.sandbox)
    return exitCode ?? -1
  }

  const removeIfEmpty = async (name: string): Promise<void> => {
    if (![...plugged.values()].some(({ sandbox }) => sandbox === name)) await removeSandbox(name)
  }

  const ensureSandbox = async ({ sandbox, node }: Plug): Promise<void> => {
    if (sandboxes.has(sandbox)) return
    // Its link-local address comes with its first carrier: an end is told from another by what it was given.
    sandboxes.set(sandbox, await newLabNetns(sandbox, { ipv6: false }))
    homes.set(sandbox, node)
  }

  const removeSandbox = async (name: string): Promise<void> => {
    const netns = sandboxes.get(name)
    sandboxes.delete(name)
    homes.delete(name)
    await netns?.[Symbol.asyncDispose]()
  }

  const interrupt = async (
    deed: Extract<Deed, { readonly kind: 'plug' | 'unplug' }>,
    afterMs: number,
  ): Promise<number> => {
    const { node } = getNode(deed.plug.node)
    const isPlug = deed.kind === 'plug'
    if (isPlug) await ensureSandbox(deed.plug)
    const called = isPlug ? call('ADD', deed.plug, deed.isTarget) : call('DEL', deed.plug)
    await sleep(afterMs)
    await node.stopAgent('SIGKILL')
    const [code] = await Promise.all([called, node.startAgent()])
    if (!isPlug) return unplug(deed.plug)
    if (code !== 0) await unplug(deed.plug)
    else {
      plugged.set(toKey(deed.plug), deed.plug)
      await moveIn(deed.plug)
    }
    return code
  }

  const reboot = async (name: string): Promise<void> => {
    const on = getNode(name)
    await on.node.stopAgent('SIGKILL')
    for (const [sandbox, node] of homes) if (node === name) await removeSandbox(sandbox)
    await wipe(on)
    await on.node.startAgent()
  }

  /** Made again it is another device with the same MAC, and its owner's addresses are gone. */
  const forgetIndex = (nic: Nic): void => {
    const was = identities.get(toKey(nic))
    if (was !== undefined) identities.set(toKey(nic), { mac: was.mac })
  }

  const perform = async (deed: Deed): Promise<Answer> => {
    switch (deed.kind) {
      case 'plug':
        return plug(deed.plug, deed.isTarget)
      case 'cut over':
        if (deed.farWithoutStore === undefined) await cutOver(deed.plug)
        else await cutOverWithoutStore(deed.plug, deed.farWithoutStore)
        return undefined
      case 'unplug':
        return unplug(deed.plug)
      case 'collect':
        return collect(deed.plug)
      case 'interrupt':
        return interrupt(deed.deed, deed.afterMs)
      case 'vanish':
        await removeSandbox(deed.sandbox)
        return undefined
      case 'kill':
        await getNode(deed.node).node.stopAgent('SIGKILL')
        return undefined
      case 'start':
        await getNode(deed.node).node.startAgent()
        return undefined
      case 'bounce':
        await getNode(deed.node).node.stopAgent('SIGTERM')
        await getNode(deed.node).node.startAgent()
        return undefined
      case 'cut off':
      case 'reconnect':
        await getNode(deed.node).setReachable(deed.kind === 'reconnect')
        return undefined
      case 'reboot':
        await reboot(deed.node)
        return undefined
      case 'set': {
        const { sandbox, ifname } = deed.plug
        const state = deed.isUp ? 'up' : 'down'
        await sandboxes.get(sandbox)?.run(['ip', 'link', 'set', 'dev', ifname, state])
        return undefined
      }
      case 'cable': {
        const id = { namespace, name: deed.wire }
        await store.update(id, (wire) => setUnplugged(wire, id, deed.isUnplugged))
        return undefined
      }
      case 'delete tunnel':
      case 'delete redirect':
      case 'delete link':
        if (deed.kind === 'delete link') forgetIndex(deed.plug)
        await deleteByHand(getNode('plug' in deed ? deed.plug.node : deed.node), deed, namespace)
        return undefined
      case 'change link':
      case 'change tunnel': {
        const on = getNode('plug' in deed ? deed.plug.node : deed.node)
        if (!(await changeByHand(on, deed, namespace))) {
          await on.node.stopAgent('SIGTERM')
          await on.node.startAgent()
        }
        return undefined
      }
      case 'delete claim':
        await store.update({ namespace, name: deed.plug.wire }, (wire) =>
          releaseEnd(wire, { containerID: deed.plug.sandbox, ifname: deed.plug.ifname }),
        )
        return undefined
      case 'delete wire':
        await store.update({ namespace, name: deed.wire }, () => undefined)
        return undefined
    }
  }

  return {
    restMs,
    perform,
    send,
    look: async () => look({ cluster, store, namespace, sandboxes, identities }),
    readLogs: () =>
      cluster.nodes
        .map(({ node }, at) => {
          const lines = node
            .readLog()
            .trim()
            .split('\n')
            .map((line) => line.slice(0, LOG_WIDTH))
          return [`--- the agent of ${NODES[at]}:`, ...lines.slice(-LOG_TAIL)].join('\n')
        })
        .join('\n'),
    [Symbol.asyncDispose]: async () => {
      for (const name of sandboxes.keys()) await removeSandbox(name)
    },
  }
}
