// The real Multus hands devices on: the kubelet's, which the test plays, to the networks that are annotated
// with their resource.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { parseAllDocuments } from 'yaml'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { newLabKubelet, type LabKubelet } from '../../lab/kubelet.ts'
import { getMapping, getNadConfig, readManifest, ROOT, type Manifest } from '../../lab/manifests.ts'
import { newLabMultus, type LabMultus, type LabPod } from '../../lab/multus.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { newNad, newPluggedPod } from './fixture-multus.ts'

const RESOURCE = { 'k8s.v1.cni.cncf.io/resourceName': 'l2wire.dev/macvtap' }
const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const PREFIX = 'multus-devices-'

function annotate(nad: Manifest): Manifest {
  return { ...nad, metadata: { ...(nad['metadata'] as Manifest), annotations: RESOURCE } }
}

async function readIndex({ netns }: LabPod): Promise<number | undefined> {
  const links = JSON.parse(await netns.run(['ip', '-j', 'link', 'show'])) as {
    readonly ifname: string
    readonly ifindex: number
  }[]
  return links.find(({ ifname }) => ifname === toTapName(POD_LINK))?.ifindex
}

describe('Multus and devices of macvtaps', function () {
  this.timeout(90_000)
  let api: LabApiServer
  let cluster: LabCluster
  let at: ClusterNode
  let kubelet: LabKubelet
  let multus: LabMultus
  let bind: Manifest

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    const root = made.use(await newTemporaryFolder('kubelet')).path
    kubelet = made.use(await newLabKubelet(root))
    cluster = made.use(await newLabCluster({ count: 1, api, prefix: PREFIX }))
    const [first] = cluster.nodes
    if (first === undefined) throw new Error('A node was asked for')
    at = first
    multus = made.use(
      await newLabMultus(api, at.netns, at.node.socket, {
        podResources: dirname(kubelet.podResources),
      }),
    )
    const nad = await readManifest('deploy/components/macvtap/binding-nad-macvtap.yaml')
    bind = getNadConfig(nad)
  })

  const startAgent = async (podResources: string): Promise<void> => {
    await at.node.stopAgent('SIGTERM')
    const before = kubelet.registered.length
    await at.node.startAgent(['--device-plugins', kubelet.folder, '--pod-resources', podResources])
    await expectSoon('a registration', () => kubelet.registered.length > before)
    await expectSoon('the list', () => kubelet.devices().length > 0)
  }
  /** As virt-controller annotates it: the network, and behind it its binding's, which has no interface. */
  const plugVm = async (namespace: string): Promise<LabPod> => {
    const networks = [
      { name: 'r1-h1', interface: POD_LINK },
      { name: bind['name'], 'cni-args': { logicNetworkName: NETWORK } },
    ]
    return newPluggedPod(api, multus, { namespace, name: 'vm', networks, isLauncher: true })
  }

  for (const { name, count } of [
    { name: 'macvtap', count: 1 },
    { name: 'pod-network', count: 1 },
    { name: 'configuration', count: 1 },
  ])
    it(`the manifests of docs/${name}.md are accepted`, async () => {
      const text = await readFile(join(ROOT, `docs/${name}.md`), 'utf8')
      const blocks = [...text.matchAll(/^```yaml\n(apiVersion: [^]*?)^```/gm)]
      expect(blocks).to.have.length(count)
      const namespace = await api.newNamespace('docs')
      for (const [, block = ''] of blocks) {
        const manifests = parseAllDocuments(block).map((one) => one.toJS() as Manifest)
        for (const manifest of manifests) {
          const metadata = { ...getMapping(manifest, 'metadata'), namespace }
          const argv = ['apply', '--dry-run=server', '--validate=strict', '--filename', '-']
          await api.kubectl(argv, { input: JSON.stringify({ ...manifest, metadata }) })
        }
      }
    })

  for (const { name, isOnBinding } of [
    {
      name: 'to the cable, and its VM gets it from the kubelet',
      isOnBinding: false,
    },
    {
      // The kubelet is asked all the same: an author may write the key, too.
      name: 'to the binding, as "deviceID"',
      isOnBinding: true,
    },
  ])
    it(`hands one on ${name}`, async () => {
      await startAgent(kubelet.podResources)
      const namespace = await api.newNamespace('devices')
      const cable = newNad(namespace, { name: 'r1-h1', type: 'l2wire' })
      const binding = newNad(namespace, bind)
      await api.apply(
        isOnBinding ? cable : annotate(cable),
        isOnBinding ? annotate(binding) : binding,
      )
      const [given] = await kubelet.admit(`${namespace}/vm`, 1)
      {
        await using pod = await plugVm(namespace)
        expect(`/dev/tap${await readIndex(pod)}`).to.equal(given?.container_path)
        await multus.mustCall('CHECK', pod)
      }
      expect(await at.node.listDocuments()).to.deep.equal([])
    })

  it("hands none on that another pod's network names, though the real Multus passes the key through", async () => {
    await startAgent(kubelet.podResources)
    const [victims, attackers] = [
      await api.newNamespace('victim'),
      await api.newNamespace('attacker'),
    ]
    for (const namespace of [victims, attackers])
      await api.apply(newNad(namespace, { name: 'r1-h1', type: 'l2wire' }))
    const [given] = await kubelet.admit(`${victims}/vm`, 1)
    const deviceID = given?.container_path.replace('/dev/tap', '')
    await api.apply(newNad(victims, bind), newNad(attackers, { ...bind, deviceID }))
    await using victim = await plugVm(victims)
    const index = await readIndex(victim)
    const refusal: unknown = await plugVm(attackers).catch((error: unknown) => error)
    expect(String(refusal)).to.include('the kubelet did not give it to this pod')
    expect(await readIndex(victim)).to.equal(index)
    await multus.mustCall('CHECK', victim)
  })

  it('hands none on where the agent is no device plugin', async () => {
    await at.node.stopAgent('SIGTERM')
    await at.node.startAgent()
    const namespace = await api.newNamespace('devices')
    await api.apply(newNad(namespace, { name: 'r1-h1', type: 'l2wire' }), newNad(namespace, bind))
    const refusal: unknown = await plugVm(namespace).catch((error: unknown) => error)
    expect(String(refusal)).to.include('component "macvtap"')
    expect(await at.node.listDocuments()).to.deep.equal([])
  })
})
