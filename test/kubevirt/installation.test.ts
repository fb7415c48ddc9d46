// An admin's life with l2wire, by the commands of the documentation: taken off, an earlier release installed, upgraded
// while cables are in use, refused to be taken off while they are.
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { CommandError } from '../../core/errors.ts'
import { openKubeCluster, type KubeCluster, type KubeNode } from '../../lab/kube/cluster.ts'
import { ensureEarlierRelease, type Release } from '../../lab/kube/earlier-release.ts'
import { ROOT } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { newPlace, type Place } from '../../lab/kube/place.ts'
import { watchPings, type PingWatch } from './fixture-ping-watch.ts'

const EARLIER = '0.3.0'
const REGISTER = 'kubevirt-patches/register-binding.yaml'
const UNREGISTER = 'kubevirt-patches/unregister-binding.yaml'
/** Longest frames the cable tester sends. */
const CABLE = { mtu: 9216, capabilities: { ips: true } }
/** Of h2. */
const FAR = '198.51.100.2'
const ROLLOUT_MS = 400_000
/** All that an installation leaves on a node: files, devices by their prefix, nftables. */
const TRACES = `ls -d /opt/cni/bin/l2wire* 2>/dev/null
find /run/l2wire /var/lib/l2wire -mindepth 1 2>/dev/null
ip -o link | grep -o ' l[wv][0-9a-f]*' 
nft list tables | grep l2wire
true`

async function listTraces(node: KubeNode): Promise<readonly string[]> {
  const text = await node.run(['sh', '-c', TRACES])
  return text.split('\n').filter((line) => line !== '')
}

describe('an installation', function () {
  this.timeout(600_000)
  let cluster: KubeCluster
  let place: Place
  let release: Release
  /** Of h1 to h2. */
  let pings: PingWatch

  const install = async (folder: string): Promise<void> => {
    await cluster.kubectl(['apply', '-k', join(folder, 'deploy')])
    await waitForRollout('6m')
    await patch(folder, REGISTER)
  }
  const patch = async (folder: string, file: string): Promise<void> => {
    const at = ['kubevirt', 'kubevirt', '-n', 'kubevirt', '--type', 'merge']
    await cluster.kubectl(['patch', ...at, '--patch-file', join(folder, file)])
  }
  const waitForRollout = async (patience: string): Promise<void> => {
    const argv = ['-n', 'l2wire', 'rollout', 'status', 'daemonset/l2wire-agent']
    await cluster.kubectl([...argv, `--timeout=${patience}`], { timeoutMs: ROLLOUT_MS })
  }
  const readAgentImages = async (): Promise<readonly string[]> => {
    const path = '{.items[*].spec.containers[*].image}'
    const argv = ['-n', 'l2wire', 'get', 'pods', '-o', `jsonpath=${path}`]
    return (await cluster.kubectl(argv)).trim().split(' ')
  }
  const uninstall = async (): Promise<void> => {
    await patch(ROOT, UNREGISTER)
    await cluster.kubectl(['apply', '-k', join(ROOT, 'deploy/uninstall')])
    await waitForRollout('6m')
    const argv = ['delete', '-k', join(ROOT, 'deploy/uninstall')]
    await cluster.kubectl(argv, { timeoutMs: ROLLOUT_MS })
  }

  before(async () => {
    cluster = await openKubeCluster()
    release = await ensureEarlierRelease(EARLIER, () => undefined)
    for (const node of cluster.nodes) await node.loadImages(release.images)
    place = await newPlace()
  })
  after(async () => {
    await place[Symbol.asyncDispose]()
    await install(ROOT)
  })

  it('is taken off by the documented commands, and leaves nothing on the nodes', async () => {
    for (const node of cluster.nodes)
      expect(await listTraces(node), `on ${node.name}`).to.include('/opt/cni/bin/l2wire')
    await uninstall()
    for (const node of cluster.nodes)
      expect(await listTraces(node), `on ${node.name}`).to.deep.equal([])
    const kinds = await cluster.kubectl(['api-resources', '-o', 'name'])
    expect(kinds).to.not.match(/l2wire/)
    const left = await cluster.kubectl([
      'get',
      'namespaces,clusterroles,clusterrolebindings,validatingadmissionpolicies',
      '-o',
      'name',
    ])
    expect(left.split('\n').filter((name) => name.includes('l2wire'))).to.deep.equal([])
  })

  it(`of ${EARLIER} works, and has VM and containers plugged in`, async () => {
    await install(release.folder)
    expect(await readAgentImages()).to.deep.equal(
      cluster.nodes.map(() => `ghcr.io/l2wire/agent:${EARLIER}`),
    )
    await place.addCable('h1-h2', CABLE)
    await place.addCable('r1-h3', CABLE)
    await place.addPod('h1', 'n1', [{ name: 'h1-h2', ips: ['198.51.100.1/24'] }])
    await place.addPod('h2', 'n2', [{ name: 'h1-h2', ips: [`${FAR}/24`] }])
    await place.addPod('h3', 'n2', ['r1-h3'])
    await place.addVm('r1', 'n1', ['r1-h3'])
    for (const wire of ['h1-h2', 'r1-h3']) await place.waitUntilConnected(wire)
    const argv = [
      '-l',
      'vm.kubevirt.io/name=r1',
      '-o',
      'jsonpath={.items[*].spec.containers[*].image}',
    ]
    expect(await place.kubectl('get', 'pods', ...argv)).to.include(`sidecar:${EARLIER}`)
  })

  it('is upgraded while frames flow, and no ping is lost', async () => {
    pings = await watchPings(place, { node: cluster.getNode('n1'), pod: 'h1' }, FAR)
    const first = await pings.readNewest()
    await install(ROOT)
    await pings.expectAllSince(first)
    expect(await readAgentImages()).to.not.include(`ghcr.io/l2wire/agent:${EARLIER}`)
  })

  it('has, upgraded, whole cables on pods and VMs of before', async () => {
    const asks = { 'h1-h2': ['--noisy'], 'r1-h3': ['--idle', '5'] }
    for (const [wire, argv] of Object.entries(asks)) {
      await place.waitUntilConnected(wire)
      const rows = await place.l2wire('test', wire, ...argv)
      expect(rows).to.match(/^9014 bytes +delivered +delivered$/m)
    }
  })

  it('joins ends of before to ends of after', async () => {
    await place.kubectl('delete', 'pod', 'h2', '--wait=true')
    await place.addPod('h2', 'n2', [{ name: 'h1-h2', ips: [`${FAR}/24`] }])
    await place.waitUntilConnected('h1-h2')
    await pings.waitForAnswer()
  })

  it('is not taken off while cables are in use: says of which, and they carry on', async () => {
    const first = await pings.readNewest()
    await cluster.kubectl(['apply', '-k', join(ROOT, 'deploy/uninstall')])
    await expectSoon('an uninstaller says what is plugged in', async () =>
      (await readUninstaller()).includes(place.namespace),
    )
    await cluster.kubectl(['apply', '-k', join(ROOT, 'deploy')])
    await waitForRollout('6m')
    await pings.expectAllSince(first)
    await place.waitUntilConnected('h1-h2')
  })

  const readUninstaller = async (): Promise<string> => {
    const argv = ['-n', 'l2wire', 'logs', '-l', 'app.kubernetes.io/name=l2wire-agent']
    try {
      return await cluster.kubectl([...argv, '--all-containers', '--ignore-errors', '--prefix'])
    } catch (error) {
      // Its container has not started yet.
      if (error instanceof CommandError) return ''
      throw error
    }
  }
})
