// An agent's account for the API: the account of deploy/base, limited by its policies to one node, because a
// kubelet gets its token for a pod of that node.
import { setTimeout as sleep } from 'node:timers/promises'

import { CommandError } from '../core/errors.ts'
import type { LabApiServer } from './api-server.ts'
import { sha256Hex } from '../core/hash.ts'
import { getMapping, type Manifest } from './manifests.ts'

type Api = Pick<LabApiServer, 'kubectl' | 'apply'>

const ACCOUNT = { namespace: 'l2wire', name: 'l2wire-agent' }
const FILES = ['namespace', 'rbac', 'policies'].map((name) => `deploy/base/${name}.yaml`)
const ACTIVE_MS = 60_000

/** Creates the account, its rights and its limits. They are in force when it returns. */
export async function grantAgents(api: Api): Promise<void> {
  await api.kubectl(['apply', ...FILES.flatMap((file) => ['-f', file])])
  // The API server takes a second to know rights and policies.
  const deadline = Date.now() + ACTIVE_MS
  while (!(await areInForce(api))) {
    if (Date.now() > deadline) throw new Error('The policies of deploy/base do not come into force')
    await sleep(100)
  }
}

/** Whether an agent without a node may do nothing. */
async function areInForce(api: Api): Promise<boolean> {
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { ...ACCOUNT },
    involvedObject: { kind: 'Pod', ...ACCOUNT },
  }
  const as = ['--as', `system:serviceaccount:${ACCOUNT.namespace}:${ACCOUNT.name}`]
  try {
    await api.kubectl(['create', '--dry-run=server', '-f', '-', ...as], {
      input: JSON.stringify(event),
    })
    return false
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return error.stderr.includes('ValidatingAdmissionPolicy')
  }
}

/** A token as the node's kubelet gets it for the agent's pod. */
export async function newAgentToken(api: Api, node: string): Promise<string> {
  // A node's name may be as long as a pod's.
  const name = `token-${sha256Hex(node, 16)}`
  const pod: Manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    // Not the agent's own name and labels, because no agent runs in it.
    metadata: { name, namespace: ACCOUNT.namespace },
    spec: {
      nodeName: node,
      serviceAccountName: ACCOUNT.name,
      containers: [{ name: 'agent', image: 'none' }],
    },
  }
  await api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: node } }, pod)
  const place = ['-n', ACCOUNT.namespace]
  const found = await api.kubectl(['get', 'pod', name, ...place, '-o', 'json'])
  const uid = String(getMapping(JSON.parse(found) as Manifest, 'metadata')['uid'])
  const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', name]
  const argv = ['create', 'token', ACCOUNT.name, ...place, ...bound, '--bound-object-uid', uid]
  return (await api.kubectl(argv)).trim()
}
