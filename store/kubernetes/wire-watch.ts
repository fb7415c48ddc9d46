// Watches the wires of a node and turns events into changes that somebody else made.
import type { WireId } from '../../core/wire/wire.ts'
import { fromWireObject, GROUP, VERSION, WIRES, type WireObject } from '../../core/wire/object.ts'
import type { KubeClient } from './client.ts'
import { watchObjects } from './object-watch.ts'
import type { WireCache } from './wire-cache.ts'

export interface WireWatch {
  readonly client: KubeClient
  readonly labelSelector: string | undefined
  readonly list: () => Promise<{ items: WireObject[]; resourceVersion: string }>
  readonly cache: WireCache
  readonly onChange: (id: WireId) => void
  readonly onError: (error: unknown) => void
}

/** Resolves once the first list has succeeded or failed. After a failure it is tried again and again. */
export async function watchWires(watch: WireWatch): Promise<Disposable> {
  const { client, labelSelector, list, cache, onChange, onError } = watch
  const tell = (object: WireObject): void => {
    try {
      onChange(fromWireObject(object))
    } catch (error) {
      // Somebody made the object invalid. The next reader gets the error.
      onError(error)
    }
  }
  return watchObjects<WireObject>({
    client,
    what: 'wires',
    path: `/apis/${GROUP}/${VERSION}/${WIRES}`,
    labelSelector,
    list,
    onSeen: (object) => {
      cache.arrived(object, () => {
        if (cache.saw(object)) tell(object)
      })
    },
    onGone: (object) => {
      cache.arrived(object, () => {
        if (cache.lost(object)) tell(object)
      })
    },
    onError,
  })
}
