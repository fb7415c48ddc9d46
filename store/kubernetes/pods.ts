// Pods by name: Multus tells no more of them.
import { toPod, type Pod } from '../../core/holder.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

export type FindPod = (namespace: string, name: string) => Promise<Pod | undefined>

/** Undefined for a pod that is gone. Throws CniError 11 or 109. */
export function newPodFinder({ core, server }: KubeClient): FindPod {
  return async (namespace, name) =>
    callApi(server, `read pod "${namespace}/${name}"`, async () => {
      try {
        return toPod(await core.readNamespacedPod({ name, namespace }))
      } catch (error) {
        if (getStatus(error) === 404) return undefined
        throw error
      }
    })
}
