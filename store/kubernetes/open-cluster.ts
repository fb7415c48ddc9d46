// A cluster as the processes use it. Loaded on demand, by import(): the client library costs half a
// second and 60 MB.
import type { WireStore } from '../wire-store.ts'
import { newKubeClient, type KubeAccess, type KubeClient } from './client.ts'
import { newEventTeller, type TellSubjects } from './events.ts'
import { newPodFinder, type FindPodOwner } from './pods.ts'
import { newKubernetesStore } from './wires.ts'

export interface OpenCluster {
  readonly client: KubeClient
  readonly store: WireStore
  readonly findPodOwner: FindPodOwner
}

/** Throws DecodeError when there is no cluster to talk to. */
export function openCluster(
  access: KubeAccess,
  scope: { readonly namespace?: string | undefined } = {},
): OpenCluster {
  const client = newKubeClient(access)
  return {
    client,
    store: newKubernetesStore(client, scope),
    findPodOwner: newPodFinder(client),
  }
}

/** The same, for one node's agent: it lists and watches the wires of its node only. */
export function openNodeCluster(
  access: KubeAccess,
  node: string,
): OpenCluster & { readonly tell: TellSubjects } {
  const client = newKubeClient(access)
  return {
    client,
    store: newKubernetesStore(client, { node }),
    findPodOwner: newPodFinder(client),
    tell: newEventTeller(client, node),
  }
}
