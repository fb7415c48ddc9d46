// What the doctor, Events and conditions say of faults around l2wire, as a user of the cluster sees them. Each fault is
// made, told, and mended.
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import type { Checkup } from '../../core/view/checkup.ts'
import type { KubeNode } from '../../lab/kube/cluster.ts'
import { TOOLS_IMAGE } from '../../lab/kube/images.ts'
import { ROOT, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'

const PATCHES = join(ROOT, 'kubevirt-patches')
const CNI_FOLDER = '/etc/cni/net.d'
const MULTUS = `${CNI_FOLDER}/00-multus.conf`
/** Beside it, and first in the alphabet. */
const INTRUDER = `${CNI_FOLDER}/00-intruder.conflist`
const NO_IMAGE = 'ghcr.io/l2wire/agent:none'

describe('the doctor in a cluster', function () {
  this.timeout(600_000)
  let place: Place
  /** What is broken is on it. */
  let node: KubeNode

  before(async () => {
    place = await newPlace()
    const last = place.cluster.nodes.at(-1)
    if (last === undefined) throw new Error('A cluster without nodes, expected two')
    node = last
    await place.addCable('h1-h2')
    await place.addPod('h1', 'n1', ['h1-h2'])
  })
  after(async () => place[Symbol.asyncDispose]())

  const examine = async (): Promise<Checkup> => {
    // Its exit code says that something is wrong.
    const doctor = `kubectl l2wire doctor --measure false --namespace ${place.namespace} -o json; test $? -lt 2`
    return JSON.parse(await place.cluster.run(['sh', '-c', doctor])) as Checkup
  }
  /** The sentence, once it is told. */
  const hear = async (kind: string): Promise<string> => {
    let told = ''
    await expectSoon(`the doctor tells of ${kind}`, async () => {
      told = (await examine()).findings.find((finding) => finding.kind === kind)?.what ?? ''
      return told !== ''
    })
    return told
  }
  const patchKubevirt = async (...argv: readonly string[]): Promise<void> => {
    const at = ['kubevirt', 'kubevirt', '-n', 'kubevirt', '--type', 'merge']
    await place.cluster.kubectl(['patch', ...at, ...argv])
  }

  it('names a VM whose binding KubeVirt does not know', async () => {
    await place.cluster.apply(toHaltedVm('r1', place.namespace))
    expect(await hear('binding-unknown')).to.include(`VM ${place.namespace}/r1`)
    await place.kubectl('delete', 'vm', 'r1')
  })

  it('names a registered binding whose network is not there', async () => {
    await patchKubevirt('--patch-file', join(PATCHES, 'register-binding-macvtap.yaml'))
    try {
      expect(await hear('binding-network')).to.include('l2wire/l2wire-bind-macvtap')
    } finally {
      await patchKubevirt('--patch-file', join(PATCHES, 'unregister-binding-macvtap.yaml'))
    }
  })

  it('names a sidecar of another release', async () => {
    const sidecarImage = 'ghcr.io/l2wire/sidecar:0.3.0'
    const spec = { configuration: { network: { binding: { l2wire: { sidecarImage } } } } }
    await patchKubevirt('--patch', JSON.stringify({ spec }))
    try {
      expect(await hear('binding-release')).to.include(sidecarImage)
    } finally {
      await patchKubevirt('--patch-file', join(PATCHES, 'register-binding.yaml'))
    }
  })

  it('names pods that Multus was not called for, where another plugin has put it aside', async () => {
    const { delegates } = JSON.parse(await node.run(['cat', MULTUS])) as {
      readonly delegates: readonly object[]
    }
    const intruder = { cniVersion: '1.0.0', name: 'pod-network', plugins: delegates }
    await node.run(['sh', '-c', `cat >${INTRUDER}.new && mv ${INTRUDER}.new ${INTRUDER}`], {
      input: JSON.stringify(intruder),
    })
    try {
      await expectSoon('a pod runs without Multus', async () => {
        await place.addPod('h2', node.name, ['h1-h2'])
        const status = await readNetworkStatus('h2')
        if (status !== '') await place.kubectl('delete', 'pod', 'h2', '--wait=true')
        return status === ''
      })
      expect(await hear('multus-silent')).to.include(`Pod ${place.namespace}/h2`)
    } finally {
      await node.run(['rm', '-f', INTRUDER])
      await place.kubectl('delete', 'pod', 'h2', '--wait=true', '--ignore-not-found')
    }
    await expectSoon('a pod has its networks again', async () => {
      await place.addPod('h2', node.name, ['h1-h2'])
      const status = await readNetworkStatus('h2')
      if (status === '') await place.kubectl('delete', 'pod', 'h2', '--wait=true')
      return status !== ''
    })
    await place.waitUntilConnected('h1-h2')
    await place.kubectl('delete', 'pod', 'h2', '--wait=true')
  })

  const readNetworkStatus = async (pod: string): Promise<string> => {
    const path = String.raw`{.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}`
    return place.kubectl('get', 'pod', pod, '-o', `jsonpath=${path}`)
  }

  it('says why a pod waits where the agent cannot start, and so do the Events of that pod', async () => {
    const agents = ['-n', 'l2wire']
    const image = [{ name: 'agent', image: NO_IMAGE, imagePullPolicy: 'Never' }]
    const template = { spec: { containers: image } }
    const spec = { updateStrategy: { type: 'OnDelete', rollingUpdate: null }, template }
    const patch = ['patch', 'daemonset', 'l2wire-agent', '-p', JSON.stringify({ spec })]
    await place.cluster.kubectl([...agents, ...patch])
    try {
      const where = ['--field-selector', `spec.nodeName=${node.name}`, '--wait=true']
      const which = ['-l', 'app.kubernetes.io/name=l2wire-agent']
      await place.cluster.kubectl([...agents, 'delete', 'pod', ...which, ...where])
      await place.cluster.apply(toWaitingPod('h2', place.namespace, node.name))
      expect(await hear('pod-waits')).to.include(
        `Pod ${place.namespace}/h2 waits on node ${node.name}`,
      )
      await expectSoon('the Events say so', async () => {
        const events = await place.kubectl('get', 'events', '-o', 'json')
        return /h2/.test(events) && /l2wire-agent/.test(events)
      })
    } finally {
      await place.cluster.kubectl(['apply', '-k', join(ROOT, 'deploy')])
    }
    await place.cluster.kubectl(
      [...agents, 'rollout', 'status', 'daemonset/l2wire-agent', '--timeout=5m'],
      { timeoutMs: 310_000 },
    )
    await place.kubectl('wait', 'pod/h2', '--for=condition=Ready', '--timeout=240s')
    await place.waitUntilConnected('h1-h2')
    expect((await examine()).findings).to.deep.equal([])
  })
})

function toHaltedVm(name: string, namespace: string): Manifest {
  const interfaces = [{ name: 'ge0', binding: { name: 'l2wire-macvtap' } }]
  const networks = [{ name: 'ge0', multus: { networkName: 'h1-h2' } }]
  return {
    apiVersion: 'kubevirt.io/v1',
    kind: 'VirtualMachine',
    metadata: { name, namespace },
    spec: {
      runStrategy: 'Halted',
      template: {
        spec: { domain: { memory: { guest: '64Mi' }, devices: { interfaces } }, networks },
      },
    },
  }
}

/** Which is not waited for. */
function toWaitingPod(name: string, namespace: string, nodeName: string): Manifest {
  const annotations = { 'k8s.v1.cni.cncf.io/networks': 'h1-h2' }
  const container = { name: 'tools', image: TOOLS_IMAGE, command: ['sleep', 'infinity'] }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations },
    spec: { nodeName, terminationGracePeriodSeconds: 0, containers: [container] },
  }
}
