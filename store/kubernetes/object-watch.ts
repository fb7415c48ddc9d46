// One watch on objects of a kind, for as long as the process lives: what the API server's absence let us
// miss is found by listing again.
import { setTimeout as sleep } from 'node:timers/promises'

import { ListWatch, Watch, type KubeConfig, type KubernetesObject } from '@kubernetes/client-node'

import type { KubeClient } from './client.ts'
import { explainApiError } from './errors.ts'

// Doubling from the first to the most, each by chance half as long or as long again, so that a
// cluster's nodes do not come back all at once.
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 8_000
/** On a watch where nothing happens the API server says so, by a bookmark a minute. */
const SILENT_MS = 150_000

export interface ObjectWatch<T extends KubernetesObject> {
  readonly client: KubeClient
  /** What is watched, in the words of errors. */
  readonly what: string
  readonly path: string
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  readonly list: () => Promise<{ items: T[]; resourceVersion: string }>
  readonly onSeen: (object: T) => void
  readonly onGone: (object: T) => void
  readonly onError: (error: unknown) => void
}

/** Resolves once the first list is in, or has failed: then it is tried again and again. */
export async function watchObjects<T extends KubernetesObject>(
  watch: ObjectWatch<T>,
): Promise<Disposable> {
  const { client, onError } = watch
  let waitMs = RETRY_FIRST_MS
  const stopped = new AbortController()
  const informer = new ListWatch<T>(
    watch.path,
    new TellingWatch(client.config, () => stopped.signal.aborted),
    async () => {
      const { items, resourceVersion } = await watch.list()
      waitMs = RETRY_FIRST_MS
      return { apiVersion: '', kind: '', items, metadata: { resourceVersion } }
    },
    false,
    watch.labelSelector,
    watch.fieldSelector,
    // Where the API server ends a watch it is asked for anew a while later: no reason to stay.
    { delayFn: async (ms) => sleep(ms, undefined, { ref: false }) },
  )
  for (const verb of ['add', 'update'] as const)
    informer.on(verb, (object) => {
      waitMs = RETRY_FIRST_MS
      watch.onSeen(object)
    })
  informer.on('delete', watch.onGone)
  const restart = async (): Promise<void> => {
    try {
      await sleep(waitMs * (0.5 + Math.random()), undefined, { signal: stopped.signal })
      waitMs = Math.min(waitMs * 2, RETRY_MOST_MS)
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

  // The library leaves what fails before the request (a token's file that cannot be read) to nobody. And
  // its informer stops only a watch that has been answered: one that it was still listing for, or asking
  // for, would go on and keep the process.
  override async watch(
    ...[path, query, callback, done]: Parameters<Watch['watch']>
  ): Promise<AbortController> {
    if (this.#isStopped()) return new AbortController()
    try {
      // Bookmarks keep the version to resume from young, too.
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
