// What an agent can do before it is ready. It answers from the first moment on: how long its start takes is
// up to others, a store that is away most of all, and a runtime must not wait for that.
import { setTimeout as sleep } from 'node:timers/promises'

import type { Logger } from 'pino'

import { newBackoff } from '../core/backoff.ts'
import { DecodeError, NotSupportedError, renderCauses } from '../core/errors.ts'
import type { AgentContext } from './context.ts'

export interface Starting {
  /** The node once its attachments are known, so that they can go; undefined when that takes longer. */
  readonly waitUntilKnown: (timeoutMs: number) => Promise<AgentContext | undefined>
  /** The node once all of it can be done; undefined when that takes longer. */
  readonly waitUntilReady: (timeoutMs: number) => Promise<AgentContext | undefined>
  /** What it waits for, in words. */
  readonly readReason: () => string
  readonly isReady: () => boolean
}

export interface Start extends Starting {
  readonly setKnown: (node: AgentContext) => void
  readonly setReady: (node: AgentContext) => void
  /** Nobody needs to wait any more. */
  readonly abandon: () => void
  /**
   * Does a part of the start, again and again until it is done: frames need no agent, and whoever wants it
   * is told why it waits. Throws what waiting does not change.
   */
  readonly doPart: <T>(failed: string, action: () => Promise<T>) => Promise<T>
}

const AGAIN_FIRST_MS = 500
const AGAIN_MOST_MS = 15_000

export function newStart(log: Logger): Start {
  const known = Promise.withResolvers<AgentContext | undefined>()
  const ready = Promise.withResolvers<AgentContext | undefined>()
  let isReady = false
  let reason = 'it has just begun'
  return {
    waitUntilKnown: async (timeoutMs) => waitFor(known.promise, timeoutMs),
    waitUntilReady: async (timeoutMs) => waitFor(ready.promise, timeoutMs),
    readReason: () => reason,
    isReady: () => isReady,
    setKnown: known.resolve,
    setReady: (node) => {
      isReady = true
      ready.resolve(node)
    },
    abandon: () => {
      known.resolve(undefined)
      ready.resolve(undefined)
    },
    doPart: async (failed, action) => {
      const backoff = newBackoff(AGAIN_FIRST_MS, AGAIN_MOST_MS)
      for (;;)
        try {
          return await action()
        } catch (error) {
          if (error instanceof DecodeError || error instanceof NotSupportedError) throw error
          // A line without a stack: it is said again and again, and is nobody's bug.
          reason = `${failed}: ${renderCauses(error)}`
          const waitMs = backoff.next()
          log.error({ waitMs }, reason)
          await sleep(waitMs)
        }
    },
  }
}

async function waitFor<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), timeoutMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
