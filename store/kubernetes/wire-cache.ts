// The wires of this node as last observed, by the watch or by our own writes. So most reads cost no request,
// and we recognize the echo of our own write.
import { isRecord } from '../../core/record.ts'
import type { WireObject } from '../../core/wire/object.ts'

export interface WireCache {
  get(namespace: string, name: string): WireObject | undefined
  /** Runs a write of ours. Events about that object wait, because they may arrive before its answer. */
  writing<T>(namespace: string, name: string, write: () => Promise<T>): Promise<T>
  /** Handles an event: now, or once the write under way has its answer. */
  arrived(object: WireObject, handle: () => void): void
  /** The API's answer to a write of ours; false if the object no longer belongs to this node. */
  wrote(object: WireObject, isOurs: boolean): void
  /** A write of ours got no answer, so only the API knows the object's state. */
  forget(namespace: string, name: string): void
  /** We deleted this object. */
  deleted(object: WireObject): void
  /** A watch event. Returns whether somebody else made a change that matters. */
  saw(object: WireObject): boolean
  /**
   * A watch event: the object is gone, or no longer belongs to this node. Returns whether somebody else did it.
   */
  lost(object: WireObject): boolean
}

const DELETED = 'deleted'

export function newWireCache(): WireCache {
  const objects = new Map<string, WireObject>()
  // By uid: the version of our last write, until the watch has shown a later one.
  const ours = new Map<string, bigint | typeof DELETED>()

  const late = new Map<string, (() => void)[]>()

  const isEcho = ({ metadata }: WireObject): boolean => {
    const version = ours.get(metadata.uid ?? '')
    return version === DELETED || (version !== undefined && getVersion(metadata) <= version)
  }
  return {
    get: (namespace, name) => objects.get(`${namespace}/${name}`),
    writing: async (namespace, name, write) => {
      const key = `${namespace}/${name}`
      // Two writes to one object at once share the waiting events. The first to end handles them.
      const waiting = late.get(key) ?? []
      late.set(key, waiting)
      try {
        return await write()
      } finally {
        if (late.get(key) === waiting) late.delete(key)
        for (const handle of waiting.splice(0)) handle()
      }
    },
    arrived: (object, handle) => {
      const waiting = late.get(toKey(object))
      if (waiting === undefined) handle()
      else waiting.push(handle)
    },
    wrote: (object, isOurs) => {
      ours.set(object.metadata.uid ?? '', getVersion(object.metadata))
      if (isOurs) objects.set(toKey(object), object)
      else objects.delete(toKey(object))
    },
    forget: (namespace, name) => {
      objects.delete(`${namespace}/${name}`)
    },
    deleted: (object) => {
      ours.set(object.metadata.uid ?? '', DELETED)
      objects.delete(toKey(object))
    },
    saw: (object) => {
      if (isEcho(object)) return false
      const known = objects.get(toKey(object))
      if (known !== undefined && getVersion(known.metadata) >= getVersion(object.metadata))
        return false
      objects.set(toKey(object), object)
      // The generation counts changes of the spec. A node's report matters to nobody here.
      const { generation, uid } = object.metadata
      return known?.metadata['generation'] !== generation || known?.metadata.uid !== uid
    },
    lost: (object) => {
      const wasOurs = isEcho(object)
      ours.delete(object.metadata.uid ?? '')
      const known = objects.get(toKey(object))
      if (known?.metadata.uid === object.metadata.uid) objects.delete(toKey(object))
      return !wasOurs
    },
  }
}

function toKey({ metadata }: WireObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`
}

// Kubernetes API concepts, "Resource versions": decimal and comparable within one kind. Kubernetes promises
// this since 1.35; before, it follows from etcd.
function getVersion(metadata: WireObject['metadata']): bigint {
  return BigInt(metadata.resourceVersion ?? 0)
}

/** Whether a value from the API has the fields of every object. */
export function isWireObject(value: unknown): value is WireObject {
  return isRecord(value) && isRecord(value['metadata']) && isRecord(value['spec'])
}
