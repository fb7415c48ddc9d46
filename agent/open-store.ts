// The store that the options name, and what else of a cluster comes with it.
import type { WireStore } from '../store/wire-store.ts'
import { newFileStore } from '../store/file-store.ts'
import type { Cluster } from './context.ts'
import type { AgentOptions } from './options.ts'

export interface OpenStore {
  readonly store: WireStore
  readonly cluster: Cluster | undefined
}

export async function openStore({ storeFolder, nodeName }: AgentOptions): Promise<OpenStore> {
  if (storeFolder !== undefined) return { store: newFileStore(storeFolder), cluster: undefined }
  // Half a second and 60 MB that an agent without a cluster does without.
  const { openNodeCluster } = await import('../store/kubernetes/open-cluster.ts')
  const { store, ...cluster } = openNodeCluster({}, nodeName)
  return { store, cluster }
}
