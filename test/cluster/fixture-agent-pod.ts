// An agent's pod as an object: no kubelet runs it.
import { sha256Hex } from '../../core/hash.ts'
import type { LabApiServer } from '../../lab/api-server.ts'

const NAMESPACE = 'l2wire'
const READY = JSON.stringify({ status: { conditions: [{ type: 'Ready', status: 'True' }] } })

export interface AgentPod extends AsyncDisposable {
  readonly name: string
  readonly becomeReady: () => Promise<void>
}

/** A node's name may be as long as a pod's. */
export function toAgentPodName(nodeName: string): string {
  const isShort = nodeName.length < 200
  return `l2wire-agent-${isShort ? nodeName : sha256Hex(nodeName, 16)}`
}

export async function newAgentPod(api: LabApiServer, nodeName: string): Promise<AgentPod> {
  const name = toAgentPodName(nodeName)
  // Applied, it would lose what deploy/ gives it.
  const found = await api.kubectl([
    'get',
    'namespace',
    NAMESPACE,
    '--ignore-not-found',
    '-o',
    'name',
  ])
  if (found === '') await api.kubectl(['create', 'namespace', NAMESPACE])
  const labels = { 'app.kubernetes.io/name': 'l2wire-agent' }
  const containers = [{ name: 'agent', image: 'none' }]
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, labels },
    spec: { nodeName, containers },
  })
  const pod = ['pod', name, '--namespace', NAMESPACE]
  return {
    name,
    becomeReady: async () => {
      await api.kubectl(['patch', ...pod, '--subresource=status', '--type=merge', '-p', READY])
    },
    [Symbol.asyncDispose]: async () => {
      await api.kubectl(['delete', ...pod, '--force'])
    },
  }
}
