// A cluster as a node's agent uses it. Loaded on demand, by import(): the client library costs half a
// second and 60 MB.
import type { WireStore } from '../wire-store.ts'
import { newKubeClient, type KubeAccess } from './client.ts'
import { newEventTeller, type TellSubjects } from './events.ts'
import { newPodFinder, type FindPodOwner } from './pods.ts'
import { newKubernetesStore } from './wires.ts'

export interface NodeCluster {
  /** Lists and watches the wires of this node only. */
  readonly store: WireStore
  readonly findPodOwner: FindPodOwner
  readonly tell: TellSubjects
}

/** Throws DecodeError when there is no cluster to talk to. */
export function openNodeCluster(access: KubeAccess, node: string): NodeCluster {
  const client = newKubeClient(access)
  return {
    store: newKubernetesStore(client, { node }),
    findPodOwner: newPodFinder(client),
    tell: newEventTeller(client, node),
  }
}
