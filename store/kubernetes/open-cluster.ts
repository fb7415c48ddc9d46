// A cluster as a node's agent uses it. Loaded on demand by import(), because the client library costs half a
// second and 60 MB.
import type { WireStore } from '../wire-store.ts'
import { newKubeClient, type KubeAccess } from './client.ts'
import { newEventTeller, type TellSubjects } from './events.ts'
import { newLauncherReader, type ReadLauncher } from './launchers.ts'
import {
  newMigrationReader,
  newSourcePodReader,
  type ReadMigration,
  type ReadSourcePod,
} from './migrations.ts'
import { newNodeLister, type ListNodes } from './nodes.ts'
import { newPodFinder, newPodOwnerFinder, type FindPod, type FindPodOwner } from './pods.ts'
import { newGuestFinder, type FindGuest } from './vms.ts'
import { newKubernetesStore } from './wires.ts'

export interface NodeCluster {
  /** Lists and watches the wires of this node only. */
  readonly store: WireStore
  /** All wires of the cluster. */
  readonly list: WireStore['list']
  readonly findPod: FindPod
  readonly findPodOwner: FindPodOwner
  readonly readLauncher: ReadLauncher
  /** The names of all nodes of the cluster. */
  readonly listNodes: ListNodes
  readonly tell: TellSubjects
  readonly readMigration: ReadMigration
  readonly readSourcePod: ReadSourcePod
  readonly findGuest: FindGuest
}

/** Throws DecodeError when there is no cluster to talk to. */
export function openNodeCluster(access: KubeAccess, node: string): NodeCluster {
  const client = newKubeClient(access)
  return {
    store: newKubernetesStore(client, { node }),
    list: async (onUnreadable) => newKubernetesStore(client).list(onUnreadable),
    findPod: newPodFinder(client),
    findPodOwner: newPodOwnerFinder(client),
    readLauncher: newLauncherReader(client),
    listNodes: newNodeLister(client),
    tell: newEventTeller(client, node),
    readMigration: newMigrationReader(client),
    readSourcePod: newSourcePodReader(client),
    findGuest: newGuestFinder(client),
  }
}
