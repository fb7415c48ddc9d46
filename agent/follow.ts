// Follows the store: what other nodes do to a wire that has an end or a tunnel here.
import { toTunnelDeviceName } from '../core/name.ts'
import { findFarEnd, toWireKey, type WireId } from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import type { Node } from './node.ts'
import { joinWire } from './wire-verbs.ts'

/** How soon a change that could not be followed is looked at again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 60_000

/** Joins again whatever changes, until disposed. */
export async function followStore(node: Node): Promise<Disposable> {
  const waiting = new Set<string>()
  let isStopped = false

  const follow = (id: WireId, againMs: number): void => {
    const key = toWireKey(id)
    // Ten changes that are not looked at yet are one look.
    if (waiting.has(key) || isStopped) return
    waiting.add(key)
    const look = node.queue(key, async () => {
      waiting.delete(key)
      await joinIfOurs(node, id)
    })
    look.catch((error: unknown) => {
      node.log.error({ err: error, wire: key, againMs }, 'cannot follow a change of a wire yet')
      // Nobody may ever change it again: then nothing but this would join it.
      setTimeout(() => follow(id, Math.min(againMs * 2, AGAIN_MOST_MS)), againMs).unref()
    })
  }
  const watching = await node.store.watch(
    (id) => follow(id, AGAIN_FIRST_MS),
    (error) => {
      node.log.error({ err: error }, 'cannot watch the store')
    },
  )
  return {
    [Symbol.dispose]: () => {
      isStopped = true
      watching[Symbol.dispose]()
    },
  }
}

// Wires that are wholly on this node, or wholly elsewhere, are no concern of another node's doings.
async function joinIfOurs(node: Node, id: WireId): Promise<void> {
  const wire = await node.store.read(id)
  const device = toTunnelDeviceName(toWireKey(id))
  const isOurs =
    findFarEnd(wire, node.name) !== undefined ||
    (wire?.tunnelNodes.includes(node.name) ?? false) ||
    (await observeLinks([device])).has(device)
  if (isOurs) await joinWire(node, id)
}
