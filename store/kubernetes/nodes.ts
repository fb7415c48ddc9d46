// The nodes there are: what is held for one that is not among them is held for nobody.
import { setHeaderOptions } from '@kubernetes/client-node'

import type { KubeClient } from './client.ts'
import { callApi } from './errors.ts'

export type ListNodes = () => Promise<ReadonlySet<string>>

// A node's object has every image on it, and nothing but names is wanted.
const NAMES_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

/** Throws CniError 11 or 109. */
export function newNodeLister({ core, server }: KubeClient): ListNodes {
  return async () =>
    callApi(server, 'list nodes', async () => {
      const list = await core.listNode({}, setHeaderOptions('Accept', NAMES_ONLY))
      // An empty list of this kind is null.
      const items = list.items as typeof list.items | null
      return new Set((items ?? []).flatMap(({ metadata }) => metadata?.name ?? []))
    })
}
