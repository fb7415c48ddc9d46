// One watch on the wires of a node, for as long as the process lives: what the API server's absence
// let us miss is found by listing again.
import { setTimeout as sleep } from 'node:timers/promises'

import { ListWatch, Watch, type KubeConfig } from '@kubernetes/client-node'

import type { WireId } from '../../core/wire.ts'
import { fromWireObject, GROUP, VERSION, WIRES, type WireObject } from '../../core/wire-object.ts'
import type { KubeClient } from './client.ts'
import { explainApiError } from './errors.ts'
import type { WireCache } from './wire-cache.ts'

// Doubling from the first to the most, each by chance half as long or as long again, so that a
// cluster's nodes do not come back all at once.
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 8_000
/** On a watch where nothing happens the API server says so, by a bookmark a minute. */
const SILENT_MS = 150_000

export interface WireWatch {
  readonly client: KubeClient
  readonly labelSelector: string | undefined
  readonly list: () => Promise<{ items: WireObject[]; resourceVersion: string }>
  readonly cache: WireCache
  readonly onChange: (id: WireId) => void
  readonly onError: (error: unknown) => void
}

/** Resolves once the first list is in, or has failed: then it is tried again and again. */
export async function watchWires(watch: WireWatch): Promise<Disposable> {
  const { client, labelSelector, cache, onChange, onError } = watch
  const tell = (object: WireObject): void => {
    try {
      onChange(fromWireObject(object))
    } catch (error) {
      // Edited into nonsense: whoever uses it next is told again.
      onError(error)
    }
  }
  let waitMs = RETRY_FIRST_MS
  const informer = new ListWatch<WireObject>(
    `/apis/${GROUP}/${VERSION}/${WIRES}`,
    new TellingWatch(client.config),
    async () => {
      const { items, resourceVersion } = await watch.list()
      waitMs = RETRY_FIRST_MS
      return { apiVersion: '', kind: '', items, metadata: { resourceVersion } }
    },
    false,
    labelSelector,
  )
  for (const verb of ['add', 'update'] as const)
    informer.on(verb, (object) => {
      waitMs = RETRY_FIRST_MS
      cache.arrived(object, () => {
        if (cache.saw(object)) tell(object)
      })
    })
  informer.on('delete', (object) => {
    cache.arrived(object, () => {
      if (cache.lost(object)) tell(object)
    })
  })
  const stopped = new AbortController()
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
    onError(explainApiError(client.server, 'watch wires', error))
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
  constructor(config: KubeConfig) {
    super(config)
    this['requestTimeoutMs'] = SILENT_MS
  }

  // The library leaves what fails before the request (a token's file that cannot be read) to nobody.
  override async watch(
    ...[path, query, callback, done]: Parameters<Watch['watch']>
  ): Promise<AbortController> {
    try {
      // Bookmarks keep the version to resume from young, too.
      return await super.watch(path, { ...query, allowWatchBookmarks: true }, callback, done)
    } catch (error) {
      done(error)
      return new AbortController()
    }
  }
}
