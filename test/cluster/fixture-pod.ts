// Pods as agents meet them: an object of the API, a namespace for the sandbox, and the runtime's calls.
import { expect } from 'chai'

import type { LabApiServer } from '../../lab/api-server.ts'
import type { ClusterNode } from '../../lab/cluster.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'

export async function newPod(
  api: LabApiServer,
  namespace: string,
  name: string,
  metadata: Manifest = {},
): Promise<LabNetns> {
  await api.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name, namespace },
    spec: { containers: [{ name: 'shell', image: 'busybox' }] },
  })
  return newLabNetns('pod', { ipv6: false })
}

/** The runtime's call for a pod's interface eth1. */
export interface PodCall {
  readonly command: string
  readonly on: ClusterNode
  readonly namespace: string
  readonly pod: string
  readonly netns: LabNetns
  readonly config: Manifest
}

export async function callForPod(podCall: PodCall): Promise<CniAnswer> {
  const { command, on, namespace, pod, netns, config } = podCall
  return on.node.call(config, {
    command,
    containerID: `${pod}-${netns.name}`,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod}`,
  })
}

/** As callForPod, and the answer must be yes. */
export async function mustCallForPod(podCall: PodCall): Promise<void> {
  const { exitCode, stdout } = await callForPod(podCall)
  expect(exitCode, `${podCall.command}: ${stdout}`).to.equal(0)
}
