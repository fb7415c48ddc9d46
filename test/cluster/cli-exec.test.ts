// kubectl-l2wire on the nodes of a cluster, by way of a stand-in for kubectl exec.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { toHostDeviceName } from '../../core/name.ts'
import { decodePcap } from '../../core/tester/pcap.ts'
import type { WireDescription } from '../../core/view/description.ts'
import { newNetnsStation } from '../../kernel/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type LabCluster } from '../../lab/cluster.ts'
import { runCommand, startCommand, type Ended } from '../../lab/command.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newFileStore } from '../../store/file-store.ts'
import { decodeFileUrl } from '../../store/file-url.ts'
import { getApi } from './fixture-api.ts'
import { newExecStandIn } from './fixture-exec.ts'
import { expectSoon } from '../expect-soon.ts'
import { leavesNothing } from '../nothing-left.ts'
import { openStore } from './fixture-store.ts'

describe("kubectl-l2wire on a cluster's nodes, with a stand-in for kubectl exec", function () {
  this.timeout(90_000)
  let api: LabApiServer
  let cluster: LabCluster
  let namespace: string
  let folder: string
  let env: Readonly<Record<string, string>>
  const pods: LabNetns[] = []

  const cli = async (command: string, ...argv: readonly string[]): Promise<Ended> =>
    runCommand('kubectl-l2wire', [command, 'a-b', '-n', namespace, ...argv], { env })

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (made) => {
    namespace = await api.newNamespace('exec')
    cluster = made.use(await newLabCluster())
    const standIn = made.use(await newExecStandIn(api, cluster))
    folder = standIn.folder
    env = standIn.env
    for (const [at, { node }] of cluster.nodes.entries()) {
      const pod = made.use(await newLabNetns(`p${at}`))
      pods.push(pod)
      await node.mustCall(
        { cniVersion: '1.1.0', name: 'a-b', type: 'l2wire' },
        {
          command: 'ADD',
          containerID: `c${at}`,
          netns: pod.path,
          ifname: 'eth1',
          args: `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=h${at}`,
        },
      )
    }
    await publish()
  })

  // The emulated nodes cannot reach the API server: what their agents wrote is put there for them.
  const publish = async (): Promise<void> => {
    const [first] = cluster.nodes
    const id = { namespace, name: 'a-b' }
    const files = newFileStore(decodeFileUrl(first?.node.storeUrl))
    const isJoined = async (): Promise<boolean> =>
      (await files.read(id))?.reports.filter(({ state }) => state === 'joined').length === 2
    await expectSoon('both agents joined it', isJoined)
    const wire = await files.read(id)
    const store = openStore(api.kubeconfig, namespace)
    // Claims first: an object's status is written apart.
    await store.update(id, () => wire && { ...wire, reports: [] })
    await store.update(id, () => wire)
  }

  it('draws the whole path, each part as its node has it', async () => {
    const { stdout, stderr } = await cli('describe', '-o', 'json')
    expect(stderr).to.equal('')
    const { path, state, troubles, nodes } = JSON.parse(stdout) as WireDescription
    expect(state).to.equal('Connected')
    expect(nodes.map(({ fault }) => fault)).to.deep.equal([null, null])
    expect(path.join('\n')).to.not.include('?').and.not.include('╳')
    // The pods of this wire are no objects.
    expect(troubles.map(({ kind }) => kind)).to.deep.equal(['pod-gone', 'pod-gone'])
  })

  it('tests it from node to node', async () => {
    const { exitCode, stdout, stderr } = await cli('test', '--idle', '1')
    expect(exitCode, stderr).to.equal(0)
    expect(stdout).to.match(/^01-80-C2-00-00-0E LLDP +delivered +delivered$/m)
  })

  it('brings a capture here, and leaves no tcpdump on the node, however it ends', async () => {
    const devices = [0, 1].map((at) => toHostDeviceName(`c${at}`, 'eth1'))
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const file = join(folder, 'heard.pcap')
      const argv = ['capture', 'a-b', '-n', namespace, '-w', file]
      const capture = startCommand('kubectl-l2wire', argv, { env })
      await expectSoon('it listens', () => capture.readStderr().includes('listening on'))
      const from = newNetnsStation(run, { label: 'x', netns: pods[1]?.path ?? '', ifname: 'eth1' })
      await from.send([new Uint8Array(60).fill(5)])
      await expectSoon('it is heard', async () => (await readFile(file)).length >= 24 + 16 + 60)
      capture.child.kill(signal)
      const { exitCode, stderr } = await capture.ended
      if (signal === 'SIGINT') expect(exitCode, stderr).to.equal(0)
      expect(decodePcap(await readFile(file)).map((frame) => frame[20])).to.deep.equal([5])
      await expectSoon('no tcpdump is left', async () => {
        const all = await run(['ps', '-eo', 'args='])
        return !devices.some((device) => all.includes(`tcpdump -i ${device}`))
      })
    }
  })
})
