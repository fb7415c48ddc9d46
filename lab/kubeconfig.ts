// A kubeconfig: an API server's address and a user.
import type { Manifest } from './manifests.ts'

export function toKubeconfig(cluster: Manifest, user: Manifest): Manifest {
  const name = 'l2w'
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  }
}
