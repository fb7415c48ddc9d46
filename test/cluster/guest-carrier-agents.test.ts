// A VM's end and a container's on two nodes with real agents: what the container's owner does to its
// interface arrives at the VirtualMachine. KubeVirt, who takes it on to the guest, is not there.
import { before, describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { noteLauncher } from './fixture-owners.ts'

const COMPONENT = 'deploy/components/carrier-vm/rbac.yaml'
const CONFIG = { cniVersion: '1.1.0', name: 'r1-h1', type: 'l2wire', carrier: 'vm' }
const LAUNCHER = { pod: 'virt-launcher-r1-x', ifname: toPodLinkName('ge0') }
const FAR = { pod: 'h1', ifname: 'eth1' }
const PREFIX = 'guest-test-'
const KUBEVIRT = { apiVersion: 'kubevirt.io/v1', controller: true, name: 'r1' }

describe("a VM's guest and the far end of its cable, on two nodes", function () {
  this.timeout(120_000)
  let api: LabApiServer
  let cluster: LabCluster
  let n1: ClusterNode
  let n2: ClusterNode
  let namespace: string

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    made.defer(
      async () => void (await api.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])),
    )
    await api.kubectl(['apply', '-f', COMPONENT])
    cluster = made.use(await newLabCluster({ api, prefix: PREFIX }))
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    namespace = await api.newNamespace('guest-agents')
  })

  const create = async (
    kind: string,
    name: string,
    more: Manifest,
    owner?: Manifest,
  ): Promise<string> => {
    const apiVersion = kind === 'Pod' ? 'v1' : KUBEVIRT.apiVersion
    const ownerReferences = owner === undefined ? [] : [owner]
    await api.apply({ apiVersion, kind, metadata: { name, namespace, ownerReferences }, ...more })
    return String(getMapping(await api.getObject(kind, name, namespace), 'metadata')['uid'])
  }

  const newVm = async (): Promise<void> => {
    const domain = { devices: { interfaces: [{ name: 'ge0', binding: { name: 'l2wire' } }] } }
    const networks = [{ name: 'ge0', multus: { networkName: 'r1-h1' } }]
    const spec = { runStrategy: 'Always', template: { spec: { domain, networks } } }
    const containers = { spec: { containers: [{ name: 'main', image: 'none' }] } }
    const vm = await create('VirtualMachine', 'r1', { spec })
    const ofVm = { ...KUBEVIRT, kind: 'VirtualMachine', uid: vm }
    const instance = { spec: { domain: { devices: {} } } }
    const vmi = await create('VirtualMachineInstance', 'r1', instance, ofVm)
    const ofInstance = { ...KUBEVIRT, kind: 'VirtualMachineInstance', uid: vmi }
    await create('Pod', LAUNCHER.pod, containers, ofInstance)
    await create('Pod', FAR.pod, containers)
  }

  const note = async (node: string): Promise<void> =>
    noteLauncher({ api, namespace }, 'r1', LAUNCHER.pod, node)
  const call = async (
    command: 'ADD' | 'DEL',
    { node }: ClusterNode,
    netns: LabNetns,
    { pod, ifname }: typeof FAR,
  ): Promise<void> => {
    const args = `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod}`
    const containerID = `${pod}-${netns.name}`
    await node.mustCall(CONFIG, { command, containerID, netns: netns.path, ifname, args })
  }

  const setCable = async (unplugged: boolean): Promise<void> => {
    const patch = JSON.stringify({ spec: { unplugged } })
    const wire = ['wire', 'r1-h1', '-n', namespace]
    await api.kubectl(['patch', ...wire, '--type=merge', '-p', patch])
  }

  const expectLink = async (want: 'up' | 'down', why: string): Promise<void> =>
    expectSoon(`the VM says ${want}: ${why}`, async () => {
      const vm = await api.getObject('vm', 'r1', namespace)
      const devices = getMapping(vm, 'spec', 'template', 'spec', 'domain', 'devices')
      const [nic] = devices['interfaces'] as readonly Manifest[]
      return (nic?.['state'] ?? 'up') === want
    })

  it('sees it come and go, its owner set it down, the cable taken out, past a killed agent', async () => {
    await using launcher = await newLabNetns('launcher')
    await using pod = await newLabNetns('pod')
    await newVm()
    const setFar = async (state: 'up' | 'down'): Promise<unknown> =>
      pod.run(['ip', 'link', 'set', 'dev', FAR.ifname, state])
    await note(`${PREFIX}1`)
    await call('ADD', n1, launcher, LAUNCHER)
    await expectLink('down', 'nobody is at the far end')
    await call('ADD', n2, pod, FAR)
    await expectLink('up', 'the far end is plugged in')
    const shown = ['--for=condition=CarrierShown', '--timeout=15s']
    await api.kubectl(['wait', 'wire/r1-h1', '-n', namespace, ...shown])
    await setFar('down')
    await expectLink('down', 'its owner set it down')
    await setFar('up')
    await expectLink('up', 'its owner set it up')
    await setCable(true)
    await expectLink('down', 'the cable is taken out')
    await setCable(false)
    await expectLink('up', 'the cable is back')
    await n1.node.stopAgent('SIGKILL')
    await setFar('down')
    await n1.node.startAgent()
    await expectLink('down', 'its owner set it down while the agent was away')
    await setFar('up')
    await expectLink('up', 'its owner set it up')
    await call('DEL', n2, pod, FAR)
    await expectLink('down', 'the far end is unplugged')
    // The VM stops, and is started again with the far end there: what it was told must not stay.
    await call('DEL', n1, launcher, LAUNCHER)
    await using next = await newLabNetns('launcher')
    await call('ADD', n2, pod, FAR)
    await note(`${PREFIX}2`)
    await call('ADD', n2, next, LAUNCHER)
    await expectLink('up', 'it was started again, on the node of the far end')
    await call('DEL', n2, next, LAUNCHER)
    await call('DEL', n2, pod, FAR)
    await expectSoon('nothing is left', async () => {
      const wires = await api.kubectl(['get', 'wires', '-n', namespace, '-o', 'name'])
      return wires.trim() === ''
    })
  })
})
