// Agents of one cluster, with the permissions of deploy/base and no more.
import { describeTwoAgents } from '../kernel/two-agents-suite.ts'
import { getApi } from './fixture-api.ts'

describeTwoAgents('with the Kubernetes API as their store', async () => {
  const api = await getApi()
  await api.kubectl(['apply', '-f', 'deploy/base/namespace.yaml', '-f', 'deploy/base/rbac.yaml'])
  const kubeconfig = await api.newServiceAccountKubeconfig('l2wire', 'l2wire-agent')
  const namespace = await api.newNamespace('twins')
  return {
    namespace,
    options: { nodeName: `node-of-${namespace}`, kubeconfig },
    readWire: async (name) => api.kubectl(['get', 'wire', name, '-n', namespace, '-o', 'json']),
    [Symbol.asyncDispose]: async () => {
      await api.kubectl(['delete', 'wires', '--all', '-n', namespace])
    },
  }
})
