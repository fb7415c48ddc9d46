// Follows the store: what other nodes do to a wire that has an end or a tunnel here.
import { toTunnelDeviceName } from '../core/name.ts'
import { findFarEnd, toWireKey, type WireId } from '../core/wire.ts'
import { observeLinks } from '../kernel/links.ts'
import type { Node } from './node.ts'
import { joinWire } from './wire-verbs.ts'

/** Joins again whatever changes, until disposed. */
export async function followStore(node: Node): Promise<Disposable> {
  const waiting = new Set<string>()
  return node.store.watch(
    (id) => {
      const key = toWireKey(id)
      // Ten changes that are not looked at yet are one look.
      if (waiting.has(key)) return
      waiting.add(key)
      void node
        .queue(key, async () => {
          waiting.delete(key)
          await joinIfOurs(node, id)
        })
        .catch((error: unknown) => {
          node.log.error({ err: error, wire: key }, 'cannot follow a change of a wire')
        })
    },
    (error) => {
      node.log.error({ err: error }, 'cannot watch the store')
    },
  )
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
