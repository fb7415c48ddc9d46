// Who a pod belongs to, asked once per ADD: Multus tells the pod's name and no more.
import { toPodOwner, type PodOwner } from '../../core/holder.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

export type FindPodOwner = (namespace: string, name: string) => Promise<PodOwner | undefined>

/** Undefined for a pod that is gone. Throws CniError 11 or 109. */
export function newPodFinder({ core, server }: KubeClient): FindPodOwner {
  return async (namespace, name) =>
    callApi(server, `read pod "${namespace}/${name}"`, async () => {
      try {
        return toPodOwner(await core.readNamespacedPod({ name, namespace }))
      } catch (error) {
        if (getStatus(error) === 404) return undefined
        throw error
      }
    })
}
