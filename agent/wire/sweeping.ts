// When the cluster is swept: seldom, and by all agents together as often as by one alone.
import type { AgentContext } from '../context.ts'
import { NOT_SWEPT, sweep, type Swept } from './sweep.ts'

/** In looks at everything: a sweep is worth less. */
const LOOKS = 2

export function newSweeping(node: AgentContext, checkSeconds: number): Disposable {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const run = async (before: Swept): Promise<void> => {
    let swept = before
    try {
      swept = await sweep(node, before)
    } catch (error) {
      node.log.error({ err: error }, 'cannot sweep the cluster')
    }
    schedule(swept)
  }
  const schedule = (before: Swept): void => {
    if (isStopped) return
    // By chance, so that a cluster's agents do not sweep at one moment.
    const afterMs = checkSeconds * 1000 * LOOKS * before.sharers * (0.5 + Math.random())
    timer = setTimeout(() => void run(before), afterMs).unref()
  }
  schedule(NOT_SWEPT)
  return {
    [Symbol.dispose]: () => {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
