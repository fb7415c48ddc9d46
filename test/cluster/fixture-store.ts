// The store of a whole cluster, as a test looks into it; agents open theirs for one node.
import { newKubeClient } from '../../store/kubernetes/client.ts'
import { newKubernetesStore } from '../../store/kubernetes/wires.ts'
import type { WireStore } from '../../store/wire-store.ts'

export function openStore(kubeconfig: string, namespace?: string): WireStore {
  return newKubernetesStore(newKubeClient({ kubeconfig }), { namespace })
}
