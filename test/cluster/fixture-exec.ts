// Without a kubelet nothing can be executed in a pod, so a stand-in injects that one way: what `kubectl exec`
// would run in an agent's pod it runs on the emulated node of that agent. Every other word goes to the
// real kubectl and the real API server.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { LabApiServer } from '../../lab/api-server.ts'
import type { LabCluster } from '../../lab/cluster.ts'
import { ROOT } from '../../lab/manifests.ts'
import { newAgentPod, toAgentPodName, type AgentPod } from './fixture-agent-pod.ts'

export interface ExecStandIn extends AsyncDisposable {
  readonly folder: string
  /** For commands that are to use it. */
  readonly env: Readonly<Record<string, string>>
  /** The agents' pods, by node; all are ready. */
  readonly pods: readonly AgentPod[]
}

export async function newExecStandIn(
  api: LabApiServer,
  cluster: LabCluster,
  prefix = 'n',
): Promise<ExecStandIn> {
  await using made = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'l2w-exec-'))
  made.defer(async () => rm(folder, { recursive: true, force: true }))
  const kubectl = join(folder, 'kubectl')
  await writeFile(kubectl, renderStandIn(api.kubectlPath, cluster, prefix))
  await chmod(kubectl, 0o755)
  const pods = []
  for (const at of cluster.nodes.keys()) {
    const pod = made.use(await newAgentPod(api, `${prefix}${at + 1}`))
    await pod.becomeReady()
    pods.push(pod)
  }
  const resources = made.move()
  const PATH = `${folder}:${process.env['PATH']}`
  return {
    folder,
    env: { KUBECONFIG: api.kubeconfig, PATH, HOME: folder },
    pods,
    [Symbol.asyncDispose]: async () => resources.disposeAsync(),
  }
}

function renderStandIn(kubectl: string, cluster: LabCluster, prefix: string): string {
  const cases = cluster.nodes.map(
    ({ netns, node }, at) =>
      `${toAgentPodName(`${prefix}${at + 1}`)}) netns=${netns.name} state=${node.stateDir} ;;`,
  )
  return `#!/bin/bash
case " $* " in *" exec "*) ;; *) exec ${kubectl} "$@" ;; esac
for word in "$@"; do case $word in ${cases.join(' ')} esac; done
while [ "$1" != -- ]; do shift; done
command=$3; shift 3
case $command in listen | prober) ;; *) set -- --state-dir "$state" "$@" ;; esac
exec ip netns exec "$netns" ${join(ROOT, 'dist/bin/kubectl-l2wire')} "$command" "$@"
`
}
