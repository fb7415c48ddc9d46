// Reconciles wires that something happened to: soon, one at a time per wire, several events at once, and again, later
// and later, where it fails.
import { newBackoff, type Backoff } from '../../core/backoff.ts'
import { newLimit } from '../../core/limit.ts'
import { toWireKey, type WireId } from '../../core/wire/wire.ts'
import type { AgentContext } from '../context.ts'
import type { Depth } from './observe.ts'
import { reconcileWire } from './reconcile.ts'

/** A wire that something happens to all the time is looked at this often at most. */
const APART_MS = 1_000
/** How many looks run at once: each starts processes, and a thousand wires may want one. */
const AT_ONCE = 8
/** How soon a failed look is taken again, and how late at most. */
const AGAIN_FIRST_MS = 1_000
const AGAIN_MOST_MS = 60_000

export interface ReconcileQueue extends Disposable {
  /** One look at the wire. */
  readonly soon: (id: WireId, depth: Depth) => void
  /** As soon, some time from now, and not twice within a second. */
  readonly seldom: (id: WireId, depth: Depth, afterMs: number) => void
}

interface Waiting {
  readonly timer: NodeJS.Timeout
  readonly dueAt: number
  readonly depth: Depth
}

/** No look is taken before mayLook: of a store that a starting agent still waits for none would come of anything. */
export function newReconcileQueue(node: AgentContext, mayLook: Promise<void>): ReconcileQueue {
  const waiting = new Map<string, Waiting>()
  const lately = new Map<string, number>()
  const limit = newLimit(AT_ONCE)
  let isStopped = false

  const schedule = (id: WireId, asked: Depth, afterMs: number, backoff: Backoff): void => {
    if (isStopped) return
    const key = toWireKey(id)
    // What is not looked at yet is one look: the earlier time, the closer look.
    const earlier = waiting.get(key)
    const dueAt = Math.min(performance.now() + afterMs, earlier?.dueAt ?? Infinity)
    const depth = earlier?.depth === 'all' ? earlier.depth : asked
    clearTimeout(earlier?.timer)
    const timer = setTimeout(() => take(id, backoff), Math.max(0, dueAt - performance.now()))
    waiting.set(key, { timer: timer.unref(), dueAt, depth })
  }
  const take = (id: WireId, backoff: Backoff): void => {
    const key = toWireKey(id)
    let depth: Depth = 'uncached'
    // Before the wire's turn: an ADD of that wire must not wait for looks at others.
    const look = limit.inside(async () => {
      await mayLook
      return node.turns.wire(id, async () => {
        // What happens from here on is another look's; and this may be one that another has taken along.
        const mine = waiting.get(key)
        if (mine === undefined || isStopped) return
        waiting.delete(key)
        clearTimeout(mine.timer)
        depth = mine.depth
        noteTime(key)
        await reconcileWire(node, id, depth)
      })
    })
    look.catch((error: unknown) => {
      const againMs = backoff.next()
      const facts = { err: error, wire: key, againMs }
      node.log.error(facts, 'cannot bring a wire to where it should be yet')
      // Nothing may ever happen to it again: then nothing but this would join it.
      schedule(id, depth, againMs, backoff)
    })
  }
  const noteTime = (key: string): void => {
    const now = performance.now()
    lately.set(key, now)
    setTimeout(() => {
      if (lately.get(key) === now) lately.delete(key)
    }, APART_MS).unref()
  }
  return {
    soon: (id, depth) => schedule(id, depth, 0, newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)),
    seldom: (id, depth, afterMs) => {
      const since = performance.now() - (lately.get(toWireKey(id)) ?? -APART_MS)
      const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
      schedule(id, depth, Math.max(afterMs, APART_MS - since), backoff)
    },
    [Symbol.dispose]: () => {
      isStopped = true
      for (const { timer } of waiting.values()) clearTimeout(timer)
      waiting.clear()
    },
  }
}
