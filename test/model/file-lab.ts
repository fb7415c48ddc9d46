// The lab of nodes that share a folder as their store.
import { newLabCluster } from '../../lab/cluster.ts'
import { newFileStore } from '../../store/file-store.ts'
import { newModelLab, type ModelLab } from './lab.ts'
import { NODES } from './world.ts'

const REST_MS = 60_000

export async function newFileLab(): Promise<ModelLab> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster({ count: NODES.length }))
  const store = newFileStore(cluster.storeFolder)
  const lab = made.use(newModelLab({ cluster, store, namespace: 'model', restMs: REST_MS }))
  const resources = made.move()
  return { ...lab, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}
