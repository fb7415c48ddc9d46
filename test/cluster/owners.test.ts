// Whom an end belongs to, when a pod's author writes what he likes: he is nobody's VM and nobody's Deployment.
import { expect } from 'chai'
import { before, beforeEach, describe, it } from 'mocha'

import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode } from '../../lab/cluster.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import type { Manifest } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { hasCarrier } from '../kernel/fixture-links.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { newReplicaSet, newVmi, noteLauncher } from './fixture-owners.ts'
import { callForPod, mustCallForPod, newPod as newApiPod } from './fixture-pod.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }

describe('the owner that a pod names', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let n1: ClusterNode
  let n2: ClusterNode
  let namespace: string
  let r1: Manifest

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    const cluster = made.use(await newLabCluster({ api, prefix: 'owners-test-' }))
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
  })
  beforeEach(async () => {
    namespace = await api.newNamespace('owners')
    r1 = await newVmi({ api, namespace }, 'r1')
  })

  const newPod = async (name: string, metadata: Manifest = {}): Promise<LabNetns> =>
    newApiPod(api, namespace, name, metadata)
  const note = async (pod: string): Promise<void> => noteLauncher({ api, namespace }, 'r1', pod)
  const call = async (
    command: string,
    on: ClusterNode,
    pod: string,
    netns: LabNetns,
    config: Manifest = CONFIG,
  ): Promise<CniAnswer> => callForPod({ command, on, namespace, pod, netns, config })
  const must = async (
    command: string,
    on: ClusterNode,
    pod: string,
    netns: LabNetns,
  ): Promise<void> => mustCallForPod({ command, on, namespace, pod, netns, config: CONFIG })
  const listHolders = async (): Promise<string> =>
    api.kubectl(['get', 'wires', '-n', namespace, '-o', 'jsonpath={.items[*].spec.ends[*].holder}'])
  const listSubjects = async (): Promise<readonly string[]> => {
    const path = '{range .items[*]}{.involvedObject.kind}/{.involvedObject.name} {end}'
    const said = await api.kubectl(['get', 'events', '-n', namespace, '-o', `jsonpath=${path}`])
    return [...new Set(said.trim().split(' '))].sort()
  }

  const forgeries: readonly {
    readonly name: string
    readonly metadata?: () => Manifest
    readonly config?: Manifest
    readonly code: number
  }[] = [
    {
      name: 'a VM of another group',
      metadata: () => ({ ownerReferences: [{ ...r1, apiVersion: 'example.com/v9' }] }),
      code: 101,
    },
    {
      name: 'a VM by another UID',
      metadata: () => ({
        ownerReferences: [{ ...r1, uid: 'c0ffee00-0000-4000-8000-000000000009' }],
      }),
      code: 101,
    },
    // It may be one that KubeVirt has not noted yet: the kubelet tries again.
    {
      name: 'a VM by its own UID',
      metadata: () => ({ ownerReferences: [r1] }),
      code: 11,
    },
    {
      name: 'a Deployment by a ReplicaSet that is none',
      metadata: () => ({
        labels: { 'pod-template-hash': '5d9c' },
        ownerReferences: [
          {
            apiVersion: 'apps/v1',
            kind: 'ReplicaSet',
            name: 'web-5d9c',
            uid: 'c0ffee00-0000-4000-8000-000000000009',
            controller: true,
          },
        ],
      }),
      code: 101,
    },
    ...['vm/r1', 'pod/web-5d9c-1', 'deployment/web'].map((end) => ({
      name: `args.cni.end: ${end}`,
      config: { ...CONFIG, args: { cni: { end } } },
      code: 7,
    })),
  ]
  it('is believed where it knows the pod; a forged one takes nobody’s end', async () => {
    await using launcher = await newPod('virt-launcher-r1-a', { ownerReferences: [r1] })
    const replica = await newReplicaSet({ api, namespace }, 'web', '5d9c')
    await using web = await newPod('web-5d9c-1', replica)
    await note('virt-launcher-r1-a')
    await must('ADD', n1, 'virt-launcher-r1-a', launcher)
    await must('ADD', n1, 'web-5d9c-1', web)
    expect(await listHolders()).to.equal('vm/r1 deployment/web')
    for (const [at, { name, metadata, config, code }] of forgeries.entries()) {
      await using evil = await newPod(`evil-${at}`, metadata?.() ?? {})
      const { output } = await call('ADD', n2, `evil-${at}`, evil, config)
      expect(output, name).to.include({ code })
      await must('DEL', n2, `evil-${at}`, evil)
      expect(await listHolders(), name).to.equal('vm/r1 deployment/web')
      expect(await hasCarrier(launcher), name).to.equal(true)
      expect(await hasCarrier(web), name).to.equal(true)
    }
    await expectSoon('events on pods and on the VM', async () =>
      (await listSubjects()).includes('VirtualMachineInstance/r1'),
    )
    const told = (await listSubjects()).filter((subject) => !subject.startsWith('Pod/'))
    expect(told).to.deep.equal(['VirtualMachineInstance/r1'])
    await must('DEL', n1, 'virt-launcher-r1-a', launcher)
    await must('DEL', n1, 'web-5d9c-1', web)
  })

  it("waits for KubeVirt to note a launcher, and believes a migration's target", async () => {
    await using source = await newPod('virt-launcher-r1-a', { ownerReferences: [r1] })
    const adding = call('ADD', n1, 'virt-launcher-r1-a', source)
    await note('virt-launcher-r1-a')
    expect((await adding).exitCode).to.equal(0)
    await using target = await newPod('virt-launcher-r1-b', { ownerReferences: [r1] })
    await note('virt-launcher-r1-b')
    await must('ADD', n2, 'virt-launcher-r1-b', target)
    expect(await listHolders()).to.equal('vm/r1')
    await must('DEL', n1, 'virt-launcher-r1-a', source)
    await must('DEL', n2, 'virt-launcher-r1-b', target)
  })
})
