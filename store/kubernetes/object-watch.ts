// One watch on objects of a kind, for as long as the process lives. After the API server was away it lists
// again and so finds missed changes.
import { setTimeout as sleep } from 'node:timers/promises'

import { ListWatch, Watch, type KubeConfig, type KubernetesObject } from '@kubernetes/client-node'

import { newBackoff } from '../../core/backoff.ts'
import type { KubeClient } from './client.ts'
import { explainApiError } from './errors.ts'

// The delay doubles from the first to the most. Each is randomly half as long to one and a half times as long,
// so that a cluster's nodes do not come back all at once.
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 8_000
/** On a watch without changes the API server sends a bookmark a minute. */
const SILENT_MS = 150_000

export interface ObjectWatch<T extends KubernetesObject> {
  readonly client: KubeClient
  /** The name of the watched objects, for error messages. */
  readonly what: string
  readonly path: string
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  readonly list: () => Promise<{ items: T[]; resourceVersion: string }>
  readonly onSeen: (object: T) => void
  readonly onGone: (object: T) => void
  readonly onError: (error: unknown) => void
}

/** Resolves once the first list has succeeded or failed. After a failure it is tried again and again. */
export async function watchObjects<T extends KubernetesObject>(
  watch: ObjectWatch<T>,
): Promise<Disposable> {
  const { client, onError } = watch
  const backoff = newBackoff(RETRY_FIRST_MS, RETRY_MOST_MS)
  const stopped = new AbortController()
  const informer = new ListWatch<T>(
    watch.path,
    new TellingWatch(client.config, () => stopped.signal.aborted),
    async () => {
      const { items, resourceVersion } = await watch.list()
      backoff.reset()
      return { apiVersion: '', kind: '', items, metadata: { resourceVersion } }
    },
    false,
    watch.labelSelector,
    watch.fieldSelector,
    // If the API server ends a watch, we start a new one a while later. That must not keep the process alive.
    { delayFn: async (ms) => sleep(ms, undefined, { ref: false }) },
  )
  for (const verb of ['add', 'update'] as const)
    informer.on(verb, (object) => {
      backoff.reset()
      watch.onSeen(object)
    })
  informer.on('delete', watch.onGone)
  const restart = async (): Promise<void> => {
    try {
      const waitMs = backoff.next() * (0.5 + Math.random())
      await sleep(waitMs, undefined, { signal: stopped.signal })
      await informer.start()
    } catch (error) {
      if (stopped.signal.aborted) return
      onError(error)
      await restart()
    }
  }
  informer.on('error', (error: unknown) => {
    if (stopped.signal.aborted) return
    onError(explainApiError(client.server, `watch ${watch.what}`, error))
    void restart()
  })
  await informer.start()
  return {
    [Symbol.dispose]: () => {
      stopped.abort()
      void informer.stop()
    },
  }
}

class TellingWatch extends Watch {
  readonly #isStopped: () => boolean

  constructor(config: KubeConfig, isStopped: () => boolean) {
    super(config)
    this['requestTimeoutMs'] = SILENT_MS
    this.#isStopped = isStopped
  }

  // The library reports an error before the request (a token's file that cannot be read) to nobody. Its
  // informer stops only a watch that has been answered. One that it was still listing for, or asking for, would
  // go on and keep the process alive.
  override async watch(
    ...[path, query, callback, done]: Parameters<Watch['watch']>
  ): Promise<AbortController> {
    if (this.#isStopped()) return new AbortController()
    try {
      // Bookmarks also keep the version to resume from recent.
      const asked = { ...query, allowWatchBookmarks: true }
      const watching = await super.watch(path, asked, callback, done)
      if (this.#isStopped()) watching.abort()
      return watching
    } catch (error) {
      done(error)
      return new AbortController()
    }
  }
}
