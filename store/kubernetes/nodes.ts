// The existing nodes. What is held for any other node is held for nobody.
import { setHeaderOptions } from '@kubernetes/client-node'

import type { KubeClient } from './client.ts'
import { callApi } from './errors.ts'

export type ListNodes = () => Promise<ReadonlySet<string>>

// A Node object lists every image, and we need only names.
const NAMES_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

/** Throws CniError 11 or 109. */
export function newNodeLister({ core, server }: KubeClient): ListNodes {
  return async () =>
    callApi(server, 'list nodes', async () => {
      const list = await core.listNode({}, setHeaderOptions('Accept', NAMES_ONLY))
      // The API encodes an empty list of this kind as null.
      const items = list.items as typeof list.items | null
      return new Set((items ?? []).flatMap(({ metadata }) => metadata?.name ?? []))
    })
}
