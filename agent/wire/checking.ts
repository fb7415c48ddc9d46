// The look at everything: every few minutes, and soon where events of the kernel were lost. What it finds
// nobody told us of: a sandbox that went without a word, a device changed while nobody listened.
import { NO_ORPHANS } from '../../core/wire/orphans.ts'
import type { ReconcileQueue } from './reconcile-queue.ts'
import type { AgentContext } from '../context.ts'
import { resync } from './recover.ts'
import type { TapQueue } from '../attach/tap-queue.ts'

export interface Checking extends Disposable {
  readonly soon: (reason: string) => void
}

const SOON_MS = 200

export function newChecking(
  node: AgentContext,
  reconcileQueue: ReconcileQueue,
  tapQueue: TapQueue,
  everySeconds: number,
): Checking {
  let timer: NodeJS.Timeout | undefined
  let dueAt = Infinity
  let orphans = NO_ORPHANS
  let isStopped = false

  const check = async (): Promise<void> => {
    dueAt = Infinity
    try {
      // Whatever the store says, or does not.
      await tapQueue.lookAtAll()
      orphans = await resync(node, reconcileQueue, orphans)
    } catch (error) {
      node.log.error({ err: error }, 'cannot look at everything')
    }
    // The nodes of a cluster that start together do not ask its API together for ever.
    schedule(everySeconds * 1000 * (0.9 + Math.random() * 0.2))
  }
  // Two looks at one moment would see the same thing twice, which is what orphans are told by.
  let running: Promise<void> = Promise.resolve()
  const schedule = (afterMs: number): void => {
    const at = performance.now() + afterMs
    if (isStopped || at >= dueAt) return
    clearTimeout(timer)
    dueAt = at
    timer = setTimeout(() => {
      running = running.then(check)
    }, afterMs).unref()
  }
  schedule(everySeconds * 1000)
  return {
    soon: (reason) => {
      node.log.warn({ reason }, 'events of the kernel may be lost, everything is looked at')
      schedule(SOON_MS)
    },
    [Symbol.dispose]: () => {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
