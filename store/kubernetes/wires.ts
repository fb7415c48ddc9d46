// WireStore in the Kubernetes API: a Wire object per wire, changed with optimistic concurrency
// (resourceVersion), watched by the label of one node.
import { isRecord } from '../../core/record.ts'
import { CNI_CODE, CniError } from '../../core/errors.ts'
import { listNodes, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import {
  fromWireObject,
  GROUP,
  hasSameClaims,
  hasSameSpec,
  hasSameStatus,
  toNodeLabel,
  toObjectName,
  toWireObject,
  VERSION,
  WIRES,
  type WireObject,
} from '../../core/wire/object.ts'
import type { Change, WireStore } from '../wire-store.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'
import { newVniClaims } from './vni-claims.ts'
import { isWireObject, newWireCache, type WireCache } from './wire-cache.ts'
import { watchWires } from './wire-watch.ts'

const KIND = { group: GROUP, version: VERSION, plural: WIRES }
/** With that many writers at once, one wins each round. Two ends and their nodes are four at most. */
const TRIES = 20

export interface KubernetesStoreOptions {
  /** List and watch only wires with an end or a tunnel on this node; default: all. */
  readonly node?: string
  /** List only this namespace; default: all. */
  readonly namespace?: string | undefined
}

export function newKubernetesStore(
  client: KubeClient,
  options: KubernetesStoreOptions = {},
): WireStore {
  const { custom, server } = client
  const { node, namespace } = options
  const labelSelector = node === undefined ? undefined : toNodeLabel(node)
  // Set only while a watch keeps it fresh.
  let cache: WireCache | undefined
  let tellChange: ((id: WireId) => void) | undefined

  const fetchObject = async (id: WireId): Promise<WireObject | undefined> => {
    const what = `read wire "${toWireKey(id)}"`
    const name = toObjectName(id.name)
    return callApi(server, what, async () => {
      try {
        return expectObject(
          await custom.getNamespacedCustomObject({ ...KIND, namespace: id.namespace, name }),
        )
      } catch (error) {
        if (getStatus(error) === 404) return undefined
        throw error
      }
    })
  }

  const probe = async (): Promise<void> => {
    await callApi(server, 'reach the wires', async () =>
      custom.listNamespacedCustomObject({ ...KIND, namespace: namespace ?? 'default', limit: 1 }),
    )
  }

  const read = async (id: WireId): Promise<Wire | undefined> => {
    const object = cache?.get(id.namespace, toObjectName(id.name)) ?? (await fetchObject(id))
    return object === undefined ? undefined : fromWireObject(object)
  }

  const update = async (id: WireId, change: Change): Promise<Wire | undefined> => {
    for (let attempt = 1; attempt <= TRIES; attempt += 1) {
      const cached = attempt === 1 ? cache?.get(id.namespace, toObjectName(id.name)) : undefined
      const object = cached ?? (await fetchObject(id))
      if (cached === undefined) learn(id, object)
      let changed: Wire | undefined
      try {
        changed = change(object === undefined ? undefined : fromWireObject(object))
      } catch (error) {
        // The cache may be out of date, so ask the API before refusing.
        if (cached === undefined) throw error
        continue
      }
      const isWritten = async (): Promise<boolean> => write(id, object, changed)
      const name = toObjectName(id.name)
      if (await (cache?.writing(id.namespace, name, isWritten) ?? isWritten())) return changed
    }
    throw new CniError(
      CNI_CODE.TRY_AGAIN_LATER,
      `Cannot change wire "${toWireKey(id)}": others changed it ${TRIES} times meanwhile`,
    )
  }

  // The watch no longer reports a change of somebody else's that we fetch and overwrite. Both versions then
  // count as ours.
  const learn = (id: WireId, object: WireObject | undefined): void => {
    const isOurs = labelSelector !== undefined && object?.metadata.labels?.[labelSelector] === ''
    if (isOurs && (cache?.saw(object) ?? false)) tellChange?.(id)
  }

  // False if another writer was faster.
  const write = async (
    id: WireId,
    object: WireObject | undefined,
    wire: Wire | undefined,
  ): Promise<boolean> => {
    if (wire === undefined) return object === undefined || remove(id, object)
    const wanted = toWireObject(wire, object, new Date())
    const place = { ...KIND, namespace: id.namespace }
    const named = { ...place, name: wanted.metadata.name, body: wanted }
    if (object !== undefined && hasSameSpec(object, wanted)) {
      if (hasSameClaims(object, wanted) && hasSameStatus(object, wanted)) return true
      // Only a node that has a part of the wire may write its status or correct its labels.
      if (node !== undefined && !listNodes(wire).includes(node)) return true
    }
    return callApi(server, `write wire "${toWireKey(id)}"`, async () => {
      try {
        // This call does not accept a status. It follows with the next report, which every claim causes.
        const answer: unknown =
          object === undefined
            ? await custom.createNamespacedCustomObject({ ...place, body: wanted })
            : hasSameClaims(object, wanted)
              ? await custom.replaceNamespacedCustomObjectStatus(named)
              : await custom.replaceNamespacedCustomObject(named)
        const isOurs = node === undefined || listNodes(wire).includes(node)
        cache?.wrote(expectObject(answer), isOurs)
        return true
      } catch (error) {
        if (isConflict(error, object !== undefined)) return false
        // The write may have succeeded all the same.
        cache?.forget(id.namespace, wanted.metadata.name)
        throw error
      }
    })
  }

  const remove = async (id: WireId, object: WireObject): Promise<boolean> =>
    callApi(server, `remove wire "${toWireKey(id)}"`, async () => {
      const { uid = '', resourceVersion = '', name } = object.metadata
      const body = { preconditions: { uid, resourceVersion } }
      try {
        await custom.deleteNamespacedCustomObject({
          ...KIND,
          namespace: id.namespace,
          name,
          body,
        })
      } catch (error) {
        if (getStatus(error) === 409) return false
        if (getStatus(error) !== 404) {
          cache?.forget(id.namespace, name)
          throw error
        }
      }
      cache?.deleted(object)
      return true
    })

  const listObjects = async (): Promise<{ items: WireObject[]; resourceVersion: string }> =>
    callApi(server, 'list wires', async () => {
      const selector = labelSelector === undefined ? {} : { labelSelector }
      const list: unknown =
        namespace === undefined
          ? await custom.listClusterCustomObject({ ...KIND, ...selector })
          : await custom.listNamespacedCustomObject({ ...KIND, ...selector, namespace })
      const { items, metadata } = list as { items: WireObject[]; metadata: Record<string, string> }
      return { items, resourceVersion: metadata['resourceVersion'] ?? '' }
    })

  return {
    read,
    update,
    list: async (onUnreadable) => {
      const wires: Wire[] = []
      for (const object of (await listObjects()).items)
        try {
          wires.push(fromWireObject(object))
        } catch (error) {
          onUnreadable(error)
        }
      return wires
    },
    watch: async (onChange, onError) => {
      const fresh = newWireCache()
      const watching = await watchWires({
        client,
        labelSelector,
        list: listObjects,
        cache: fresh,
        onChange,
        onError,
      })
      cache = fresh
      tellChange = onChange
      return {
        [Symbol.dispose]: () => {
          cache = undefined
          tellChange = undefined
          watching[Symbol.dispose]()
        },
      }
    },
    probe,
    // The API server reports a lack of room when it is asked to store something.
    prove: probe,
    ...newVniClaims(client, node),
  }
}

// AlreadyExists and Conflict. A PUT also gets "not found" if the object was deleted meanwhile.
function isConflict(error: unknown, existed: boolean): boolean {
  const status = getStatus(error)
  return status === 409 || (status === 404 && existed)
}

function expectObject(value: unknown): WireObject {
  if (isWireObject(value)) return value
  throw new CniError(
    CNI_CODE.TRY_AGAIN_LATER,
    `Cannot use the Kubernetes API's answer: expected a Wire, it has ${isRecord(value) ? Object.keys(value).join(', ') : typeof value}`,
  )
}
