// Asks the kubelet which devices it gave to a pod.
import type { PodDevices } from '../core/attach/macvtap.ts'
import { loadService } from './load.ts'
import { callOnce } from './unary-call.ts'

interface ListPodResourcesResponse {
  readonly pod_resources: readonly {
    readonly name: string
    readonly namespace: string
    readonly containers: readonly {
      readonly devices: readonly {
        readonly resource_name: string
        readonly device_ids: readonly string[]
      }[]
    }[]
  }[]
}

const TIMEOUT_MS = 5_000

/** Of all containers, for each pod of this name that the kubelet still has. Rejects with a gRPC ServiceError. */
export async function listPodDevices(
  socketPath: string,
  namespace: string,
  name: string,
): Promise<readonly (readonly PodDevices[])[]> {
  const { pod_resources: pods } = await callOnce<ListPodResourcesResponse>(socketPath, {
    service: loadService('./kubelet-podresources-v1.proto', 'v1.PodResourcesLister'),
    // "Get" for one pod is newer than the clusters we run on.
    method: 'List',
    request: {},
    timeoutMs: TIMEOUT_MS,
  })
  return pods
    .filter((pod) => pod.name === name && pod.namespace === namespace)
    .map(({ containers }) =>
      containers
        .flatMap(({ devices }) => devices)
        .map((one) => ({ resourceName: one.resource_name, deviceIds: one.device_ids })),
    )
}
