// What pods, nodes and namespaces leave when they go without a word: nobody is kept out by it, and it
// does not stay.
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'

import { toTunnelDeviceName } from '../../core/name.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { hasCarrier } from '../kernel/fixture-links.ts'
import { leavesNothing } from '../nothing-left.ts'
import { newApi } from './fixture-api.ts'
import { callForPod, mustCallForPod, newPod as newApiPod } from './fixture-pod.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const PREFIX = 'garbage-'

async function expectCarrier(netns: LabNetns, is: boolean): Promise<void> {
  await expectSoon(`carrier ${is}`, async () => (await hasCarrier(netns)) === is)
}

describe('what goes without a word', function () {
  this.timeout(120_000)
  let api: LabApiServer
  let cluster: LabCluster
  let n1: ClusterNode
  let n2: ClusterNode
  let n3: ClusterNode
  let namespace: string

  leavesNothing(async (made) => {
    // Of its own: its agents sweep all there is.
    api = made.use(await newApi())
    const more = ['--check-seconds', '1']
    cluster = made.use(await newLabCluster({ api, prefix: PREFIX, count: 3, more }))
    ;[n1, n2, n3] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
  })
  beforeEach(async () => {
    namespace = await api.newNamespace('garbage')
  })

  const newPod = async (name: string): Promise<LabNetns> => newApiPod(api, namespace, name)
  const removePod = async (name: string): Promise<string> =>
    api.kubectl(['delete', 'pod', name, '-n', namespace, '--force', '--grace-period=0'])

  const call = async (
    command: string,
    on: ClusterNode,
    pod: string,
    netns: LabNetns,
  ): Promise<CniAnswer> => callForPod({ command, on, namespace, pod, netns, config: CONFIG })
  const must = async (
    command: string,
    on: ClusterNode,
    pod: string,
    netns: LabNetns,
  ): Promise<void> => mustCallForPod({ command, on, namespace, pod, netns, config: CONFIG })

  const read = async (path: string): Promise<string> =>
    api.kubectl(['get', 'wires', '-n', namespace, '-o', `jsonpath=${path}`])
  const listHolders = async (): Promise<string> => read('{.items[*].spec.ends[*].holder}')
  const listClaims = async (): Promise<string> => {
    const path = `{range .items[?(@.spec.namespace=="${namespace}")]}{.metadata.name} {end}`
    return (await api.kubectl(['get', 'vniclaims', '-o', `jsonpath=${path}`])).trim()
  }
  it('a pod of a dead node keeps nobody out; its node is released when it is back', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await using c = await newPod('h3')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n2, 'h2', b)
    await expectCarrier(a, true)
    await n2.node.stopAgent('SIGKILL')
    const refused = await call('ADD', n3, 'h3', c)
    expect(refused.output, 'both pods exist').to.include({ code: 101 })
    await removePod('h2')
    await must('ADD', n3, 'h3', c)
    await expectSoon('moved', async () => (await listHolders()) === 'pod/h1 pod/h3')
    await expectCarrier(c, true)
    expect(await hasCarrier(b), 'nobody told node 2').to.equal(true)
    await n2.node.startAgent()
    await expectCarrier(b, false)
    await expectSoon(
      'no note is left',
      async () => (await read('{.items[*].spec.displaced}')) === '',
    )
    await expectCarrier(a, true)
    await must('DEL', n2, 'h2', b)
    await must('DEL', n3, 'h3', c)
    await must('DEL', n1, 'h1', a)
    await expectSoon('no VNI is left', async () => (await listClaims()) === '')
  })

  it('a namespace that is deleted takes its wires, tunnels and VNIs along', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n2, 'h2', b)
    await expectCarrier(a, true)
    await expectCarrier(b, true)
    // As the namespace controller does: everything in it, in no order.
    await removePod('h1')
    await removePod('h2')
    await api.kubectl(['delete', 'wires', '--all', '-n', namespace])
    const tunnel = toTunnelDeviceName(`${namespace}/w`)
    for (const { netns } of [n1, n2])
      await expectSoon(
        'no tunnel',
        async () => !(await netns.run(['ip', '-br', 'link', 'show'])).includes(tunnel),
      )
    await expectSoon('no VNI is left', async () => (await listClaims()) === '')
    expect(await listHolders()).to.equal('')
    await must('DEL', n1, 'h1', a)
    await must('DEL', n2, 'h2', b)
  })

  it('a wire that is deleted by hand is there again', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n2, 'h2', b)
    await expectCarrier(a, true)
    await api.kubectl(['delete', 'wires', '--all', '-n', namespace])
    await expectSoon('both ends', async () => (await listHolders()).split(' ').length === 2)
    await expectCarrier(a, true)
    await expectCarrier(b, true)
    await must('DEL', n1, 'h1', a)
    await must('DEL', n2, 'h2', b)
    await expectSoon('no VNI is left', async () => (await listClaims()) === '')
  })

  it('a node that is removed from the cluster holds nothing any more', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n3, 'h2', b)
    await expectCarrier(a, true)
    await n3.node.stopAgent('SIGKILL')
    await api.kubectl(['delete', 'node', `${PREFIX}3`])
    await expectSoon('its end is free', async () => (await listHolders()) === 'pod/h1')
    await expectCarrier(a, false)
    await expectSoon('no VNI is left', async () => (await listClaims()) === '')
    await must('DEL', n1, 'h1', a)
    await expectSoon(
      'no wire is left',
      async () => (await read('{.items[*].metadata.name}')) === '',
    )
    await n3.node.startAgent()
    await must('DEL', n3, 'h2', b)
  })

  it('a cable that was taken out by YAML before anybody plugged in is out', async () => {
    await api.apply({
      apiVersion: 'l2wire.dev/v1alpha1',
      kind: 'Wire',
      metadata: { name: 'w', namespace },
      spec: { name: 'w', unplugged: true },
    })
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n1, 'h2', b)
    expect(await hasCarrier(a)).to.equal(false)
    await expectSoon(
      'it says so',
      async () => (await read('{.items[*].status.state}')) === 'Unplugged',
    )
    const patch = JSON.stringify({ spec: { unplugged: false } })
    await api.kubectl(['patch', 'wire', 'w', '-n', namespace, '--type', 'merge', '-p', patch])
    await expectCarrier(a, true)
    await expectCarrier(b, true)
    await must('DEL', n1, 'h1', a)
    await must('DEL', n1, 'h2', b)
    await expectSoon(
      'no wire is left',
      async () => (await read('{.items[*].metadata.name}')) === '',
    )
  })
})
