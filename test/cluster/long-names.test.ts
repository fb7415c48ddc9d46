// Names as long as Kubernetes lets them be, all at once, on the real API server: what agents write it takes, and what is
// asked about a wire is answered.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
import type { WireDescription } from '../../core/view/description.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { runCommand } from '../../lab/command.ts'
import type { Manifest } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import { hasCarrier } from '../kernel/fixture-links.ts'
import { leavesNothing } from '../nothing-left.ts'
import { newApi } from './fixture-api.ts'
import { newExecStandIn, type ExecStandIn } from './fixture-exec.ts'
import { newVmi, noteLauncher } from './fixture-owners.ts'
import { newPod } from './fixture-pod.ts'

const PREFIX = 'k'.repeat(252)
const NAMESPACE = 'n'.repeat(63)
const VM = 'v'.repeat(253)
/** With what no part of a name may end in, wherever it is cut. */
const LAUNCHER = `${'l-'.repeat(126)}l`
const POD = `${'-p'.repeat(126)}p`.replace('-', 'p')
const NETWORK = 'g'.repeat(253)

interface End {
  readonly on: ClusterNode
  readonly netns: LabNetns
  readonly pod: string
  readonly ifname: string
}

describe('names of full length in a cluster', function () {
  this.timeout(180_000)
  let api: LabApiServer
  let cluster: LabCluster
  let standIn: ExecStandIn
  let vm: End
  let container: End

  leavesNothing(async (made) => {
    // Of its own: the doctor looks at all there is.
    api = made.use(await newApi())
    await api.kubectl(['create', 'namespace', NAMESPACE])
    cluster = made.use(await newLabCluster({ api, prefix: PREFIX }))
    const [n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
    standIn = made.use(await newExecStandIn(api, cluster, PREFIX))
    const place = { api, namespace: NAMESPACE }
    const spec = { networks: [{ name: NETWORK, multus: { networkName: 'x' } }] }
    const owner = await newVmi(place, VM, spec)
    const launcher = await newPod(api, NAMESPACE, LAUNCHER, { ownerReferences: [owner] })
    vm = { on: n1, netns: made.use(launcher), pod: LAUNCHER, ifname: toPodLinkName(NETWORK) }
    await noteLauncher(place, VM, LAUNCHER)
    const netns = made.use(await newPod(api, NAMESPACE, POD))
    container = { on: n2, netns, pod: POD, ifname: 'i'.repeat(15) }
  })

  const call = async (command: string, end: End, config: Manifest): Promise<void> => {
    await end.on.node.mustCall(config, {
      command,
      containerID: end.pod.slice(1, 2).repeat(200).replaceAll('-', 'c'),
      netns: end.netns.path,
      ifname: end.ifname,
      args: `K8S_POD_NAMESPACE=${NAMESPACE};K8S_POD_NAME=${end.pod}`,
    })
  }
  const read = async (kind: string, path: string): Promise<readonly string[]> => {
    const said = await api.kubectl(['get', kind, '-A', '-o', `jsonpath=${path}`])
    return [...new Set(said.trim().split(' ').filter(Boolean))].sort()
  }

  // As its object is called, and with what an object cannot be called.
  for (const wire of ['w'.repeat(128), 'W_'.repeat(64)])
    it(`wire ${wire.slice(0, 4)}…: ADD, get, describe, doctor, events, DEL`, async () => {
      const froms = cluster.nodes.map(({ node }) => node.readLog().length)
      const config = { cniVersion: '1.1.0', name: wire, type: 'l2wire' }
      const binding = {
        cniVersion: '1.1.0',
        name: 'b'.repeat(128),
        type: 'l2wire-bind',
        args: { cni: { logicNetworkName: NETWORK } },
      }
      const bound = { ...vm, ifname: 'net123456789012' }
      await call('ADD', vm, config)
      await call('ADD', bound, binding)
      await call('ADD', container, config)
      await expectSoon('joined', async () => hasCarrier(vm.netns, vm.ifname))
      await expectSoon('joined', async () => hasCarrier(container.netns, container.ifname))
      await expectSoon('it is connected', async () =>
        (await read('wires', '{.items[*].status.state}')).includes('Connected'),
      )
      const holders = await read('wires', '{.items[*].spec.ends[*].holder}')
      expect(holders).to.deep.equal([`pod/${POD}`, `vm/${VM}`])
      const nodes = [1, 2].map((at) => `${PREFIX}${at}`)
      expect(await read('vniclaims', '{.items[*].spec.wire}')).to.deep.equal([wire])
      await expectSoon('both pods and the VM are told', async () => {
        const names = await read('events', '{.items[*].involvedObject.name}')
        return [VM, LAUNCHER, POD].every((name) => names.includes(name))
      })

      const { env } = standIn
      const argv = ['describe', wire, '-n', NAMESPACE, '-o', 'json']
      const described = await runCommand('kubectl-l2wire', argv, { env })
      const { state, nodes: seen } = JSON.parse(described.stdout) as WireDescription
      expect(state, described.stderr).to.equal('Connected')
      expect(seen.map(({ node }) => node).sort()).to.deep.equal(nodes)
      const doctor = await runCommand('kubectl-l2wire', ['doctor'], { env })
      expect(doctor.exitCode, doctor.stdout + doctor.stderr).to.equal(0)

      await call('DEL', container, config)
      await call('DEL', bound, binding)
      await call('DEL', vm, config)
      await expectSoon('nothing is left', async () => {
        const left = await Promise.all(
          ['wires', 'vniclaims'].map(async (kind) => read(kind, '{.items[*].metadata.name}')),
        )
        return left.flat().length === 0
      })
      for (const [at, { node }] of cluster.nodes.entries())
        expect(node.readLog().slice(froms[at])).to.not.include('"level":50')
    })
})
