// Reads pods by name. Multus passes no more than that.
import { toPod, toPodOwner, type Pod, type PodOwner } from '../../core/wire/holder.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'
import { newOwnerReader } from './owners.ts'

export type FindPod = (namespace: string, name: string) => Promise<Pod | undefined>
export type FindPodOwner = (namespace: string, name: string) => Promise<PodOwner | undefined>

/** Undefined for a pod that is gone. Throws CniError 11 or 109. */
export function newPodFinder(client: KubeClient): FindPod {
  return async (namespace, name) =>
    callApi(client.server, `read pod "${namespace}/${name}"`, async () =>
      toPod(await readPod(client, namespace, name)),
    )
}

/** As newPodFinder, and also asks the API about the owner that the pod names. */
export function newPodOwnerFinder(client: KubeClient): FindPodOwner {
  const readOwner = newOwnerReader(client)
  return async (namespace, name) =>
    callApi(client.server, `read pod "${namespace}/${name}" and its owner`, async () => {
      const pod = await readPod(client, namespace, name)
      const owner = await readOwner(pod, ['VirtualMachineInstance', 'ReplicaSet'])
      return toPodOwner(pod, owner?.object)
    })
}

async function readPod({ core }: KubeClient, namespace: string, name: string): Promise<unknown> {
  try {
    return await core.readNamespacedPod({ name, namespace })
  } catch (error) {
    if (getStatus(error) === 404) return undefined
    throw error
  }
}
