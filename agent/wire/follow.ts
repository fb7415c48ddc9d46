// Follows the store: what other nodes, or people, do to a wire that this node has anything of.
import { toTunnelDeviceName } from '../../core/name.ts'
import { listNodes, toClaimsKey, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { observeLinks } from '../../kernel/observe/links.ts'
import type { ReconcileQueue } from './reconcile-queue.ts'
import type { AgentContext } from '../context.ts'

/** Reconciles whatever wire changes, until disposed. */
export async function followStore(
  node: AgentContext,
  reconcileQueue: ReconcileQueue,
): Promise<Disposable> {
  const follow = async (id: WireId): Promise<void> => {
    const wire = await node.store.read(id)
    // A folder tells of everybody's reports, too, and of our own writes.
    if (node.lookedAt.get(toWireKey(id)) === toClaimsKey(wire)) return
    if (await isOurs(node, id, wire)) reconcileQueue.soon(id, 'uncached')
  }
  const onError = (error: unknown): void => {
    node.log.error({ err: error }, 'cannot watch the store')
  }
  return node.store.watch((id) => {
    // What cannot be read is looked at, which says so and tries again.
    follow(id).catch(() => reconcileQueue.soon(id, 'uncached'))
  }, onError)
}

async function isOurs(node: AgentContext, id: WireId, wire: Wire | undefined): Promise<boolean> {
  if (node.state.listOf(id).length > 0) return true
  if (wire !== undefined && listNodes(wire).includes(node.name)) return true
  // A wire that was deleted under us, with nothing of it left here but this.
  const device = toTunnelDeviceName(toWireKey(id))
  return (await observeLinks([device])).has(device)
}
