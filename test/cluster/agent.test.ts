// Agents whose store is a real API server: what users see of a wire, and what becomes of a plug when
// the API says no, or nothing at all. The agents have the permissions of deploy/base and no more.

import { expect } from 'chai'
import { before, beforeEach, describe, it } from 'mocha'

import { FRAME_ROWS } from '../../core/tester/frames.ts'
import { newNetnsStation } from '../../kernel/tester/netns-station.ts'
import { run } from '../../kernel/run.ts'
import type { Station } from '../../kernel/tester/station.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import type { CniAnswer } from '../../lab/cni.ts'
import { runCommand, type Ended } from '../../lab/command.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import type { LabNetns } from '../../lab/netns.ts'
import { getApi } from './fixture-api.ts'
import { newReplicaSet, newVmi, noteLauncher } from './fixture-owners.ts'
import { callForPod, mustCallForPod, newPod as newApiPod } from './fixture-pod.ts'
import { expectLogged } from '../expect-logged.ts'
import { expectSoon } from '../expect-soon.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { leavesNothing } from '../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'r1-h1', type: 'l2wire' }
const ACCOUNT = 'l2wire-agent'
/** What the agents may do, and may not do without. */
const ALL = {
  wires: ['get', 'list', 'watch', 'create', 'update', 'delete'],
  'wires/status': ['update'],
  vniclaims: ['get', 'list', 'create', 'patch', 'delete'],
  pods: ['get'],
  replicasets: ['get'],
  virtualmachineinstances: ['get'],
  virtualmachineinstancemigrations: ['get'],
  nodes: ['list'],
  events: ['create', 'get', 'update'],
}
const API_GROUPS: Readonly<Record<string, string>> = {
  pods: '',
  nodes: '',
  events: '',
  replicasets: 'apps',
  virtualmachineinstances: 'kubevirt.io',
  virtualmachineinstancemigrations: 'kubevirt.io',
}

describe('agents with the Kubernetes API as their store', function () {
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
    cluster = made.use(await newLabCluster({ api, prefix: 'agent-test-' }))
    ;[n1, n2] = cluster.nodes as [ClusterNode, ClusterNode]
  })
  beforeEach(async () => {
    namespace = await api.newNamespace('agents')
  })

  const newPod = async (name: string, metadata: Manifest = {}): Promise<LabNetns> =>
    newApiPod(api, namespace, name, metadata)

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
    config: Manifest = CONFIG,
  ): Promise<void> => mustCallForPod({ command, on, namespace, pod, netns, config })

  /** As the kubelet asks n1's agent. */
  const probe = async (command: string): Promise<Ended> =>
    runCommand('l2wire-node', [command, '--socket', n1.node.socket])

  const getColumns = async (): Promise<string> => {
    const columns =
      'custom-columns=A:.status.ends,B:.status.nodes,C:.status.state,D:.spec.vni,E:.status.mtu'
    const output = ['--no-headers', '-o', columns]
    const table = await api.kubectl(['get', 'wires', '-n', namespace, ...output])
    return table.trim().replaceAll(/ {2,}/g, ' | ')
  }

  const listEvents = async (kind: string, name: string): Promise<string> => {
    const about = `involvedObject.kind=${kind},involvedObject.name=${name}`
    const columns = 'custom-columns=T:.type,R:.reason,C:.count,M:.message'
    const output = ['--no-headers', '-o', columns]
    return api.kubectl(['get', 'events', '-n', namespace, '--field-selector', about, ...output])
  }

  const expectNothingLeft = async (): Promise<void> => {
    await expectSoon('no wires and no VNIs', async () => {
      const wires = await api.kubectl(['get', 'wires', '-n', namespace, '-o', 'name'])
      const vnis = await api.kubectl(['get', 'vniclaims', '-o', 'name'])
      return `${wires}${vnis}`.trim() === ''
    })
    for (const { netns, node } of cluster.nodes) {
      expect(await netns.run(['ip', '-br', 'link', 'show'])).to.not.match(/^l[wx][0-9a-f]/m)
      expect(await node.listDocuments()).to.deep.equal([])
    }
  }

  it('two pods on two nodes: the wire connects, carries, says so, and leaves nothing', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    const jumbo = { ...CONFIG, mtu: 9216 }
    await must('ADD', n1, 'h1', a, jumbo)
    await expectSoon('waiting', async () => (await getColumns()).includes('Waiting'))
    expect(await getColumns()).to.equal('pod/h1 eth1 | agent-test-1 | Waiting | <none> | 9216')
    await must('ADD', n2, 'h2', b, jumbo)
    await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
    const vni = (await api.kubectl(['get', 'vniclaims', '-o', 'name'])).trim().split('/')[1]
    expect(await getColumns()).to.equal(
      `pod/h1 eth1, pod/h2 eth1 | agent-test-1, agent-test-2 | Connected | ${vni} | 9216`,
    )
    await expectTransparent(toStation(a), toStation(b))
    for (const pod of ['h1', 'h2'])
      await expectSoon(`an event on ${pod}`, async () =>
        /Normal +WireConnected +1 +wire l2w-\S+\/r1-h1 connects pod\/h1 eth1, pod\/h2 eth1/.test(
          await listEvents('Pod', pod),
        ),
      )
    await must('DEL', n1, 'h1', a, jumbo)
    await expectSoon('waiting again', async () => (await getColumns()).includes('Waiting'))
    await must('DEL', n1, 'h1', a, jumbo)
    await must('DEL', n2, 'h2', b, jumbo)
    await expectNothingLeft()
  })

  it('two pods of one node need no VNI; different MTUs are told to both', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n1, 'h2', b, { ...CONFIG, mtu: 9000 })
    await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
    expect(await getColumns()).to.equal(
      'pod/h1 eth1, pod/h2 eth1 | agent-test-1 | Connected | <none> | 1450, 9000',
    )
    for (const pod of ['h1', 'h2'])
      await expectSoon(`a warning on ${pod}`, async () =>
        (await listEvents('Pod', pod)).includes('WireMtuMismatch'),
      )
    await must('DEL', n1, 'h2', b)
    await expectSoon('waiting', async () => (await getColumns()).includes('Waiting'))
    await must('DEL', n1, 'h1', a)
    await expectNothingLeft()
  })

  it("an end belongs to the launcher's VM, or the pod's Deployment; a third one is refused", async () => {
    const place = { api, namespace }
    await using launcher = await newPod('virt-launcher-r1-x', {
      labels: { 'vm.kubevirt.io/name': 'a-hostname' },
      ownerReferences: [await newVmi(place, 'r1')],
    })
    await noteLauncher(place, 'r1', 'virt-launcher-r1-x')
    await using replica = await newPod('web-5d9c-k2x', await newReplicaSet(place, 'web', '5d9c'))
    await using third = await newPod('h3')
    await must('ADD', n1, 'virt-launcher-r1-x', launcher)
    await must('ADD', n2, 'web-5d9c-k2x', replica)
    await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
    expect(await getColumns()).to.include('vm/r1 eth1, deployment/web eth1')
    await expectSoon('an event on the VMI', async () =>
      (await listEvents('VirtualMachineInstance', 'r1')).includes('WireConnected'),
    )
    const wire = await api.getObject('wire', 'r1-h1', namespace)
    expect(getMapping(wire, 'spec')['ends']).to.have.nested.property(
      '[0].pod',
      'virt-launcher-r1-x',
    )
    const refused = await call('ADD', n2, 'h3', third)
    expect(refused.output).to.include({ code: 101 })
    await expectSoon('a warning on the third', async () =>
      /Warning +WireRefused +1 .*both ends are taken, by vm\/r1 eth1 and deployment\/web eth1/.test(
        await listEvents('Pod', 'h3'),
      ),
    )
    await call('ADD', n2, 'h3', third)
    await expectSoon('it is counted', async () =>
      /WireRefused +2 /.test(await listEvents('Pod', 'h3')),
    )
    await must('DEL', n1, 'virt-launcher-r1-x', launcher)
    await must('DEL', n2, 'web-5d9c-k2x', replica)
    await must('DEL', n2, 'h3', third)
    await expectNothingLeft()
  })

  it('an end that a failed ADD took from the other node is put back', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await using newer = await newPod('h1')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n2, 'h2', b)
    await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
    // An agent that runs reads at once that it was displaced, and takes the note out.
    await n1.node.stopAgent('SIGKILL')
    // No other interface may have what is lo's.
    const asked = { ...CONFIG, runtimeConfig: { ips: ['::1/128'] } }
    expect((await call('ADD', n2, 'h1', newer, asked)).output).to.include({ code: 100 })
    expect(n2.node.readLog()).to.not.include('is not put back')
    const wire = await api.getObject('wire', CONFIG.name, namespace)
    expect(getMapping(wire, 'spec')).to.not.have.property('displaced')
    await n1.node.startAgent()
    await expectSoon('connected again', async () =>
      /^pod\/h2 eth1, pod\/h1 eth1 .* Connected /.test(await getColumns()),
    )
    await expectTransparent(toStation(a), toStation(b), { rows: FRAME_ROWS.slice(0, 5) })
    await must('DEL', n1, 'h1', a)
    await must('DEL', n2, 'h2', b)
    await expectNothingLeft()
  })

  it('a permission that is missing is named, and nothing is half-made', async () => {
    await using a = await newPod('h1')
    const missing = [
      { ...ALL, pods: [] },
      { ...ALL, wires: ['get', 'list', 'watch', 'update', 'delete'] },
    ]
    const wants = [/cannot get resource "pods"/, /cannot create resource "wires"/]
    try {
      for (const [at, verbs] of missing.entries()) {
        await api.apply(newRole(verbs))
        await expectSoon('the role counts', async () => {
          const { output } = await call('ADD', n1, 'h1', a)
          await must('DEL', n1, 'h1', a)
          return output?.['code'] === 109 && (wants[at]?.test(String(output['details'])) ?? false)
        })
        expect(await n1.netns.run(['ip', '-br', 'link', 'show'])).to.not.match(/^lw/m)
        expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      }
    } finally {
      await api.kubectl(['apply', '-f', 'deploy/base/rbac.yaml'])
    }
    await expectSoon('it works again', async () => {
      const { exitCode } = await call('ADD', n1, 'h1', a)
      if (exitCode === 0) return true
      await must('DEL', n1, 'h1', a)
      return false
    })
    await must('DEL', n1, 'h1', a)
    await expectNothingLeft()
  })

  it('the role of deploy/base has what this test needs, and nothing else', async () => {
    const { rules } = await api.getObject('clusterrole', ACCOUNT)
    const granted = (rules as readonly Record<string, readonly string[]>[]).flatMap(
      ({ resources = [], verbs = [] }) => resources.map((name) => [name, [...verbs]] as const),
    )
    expect(Object.fromEntries(granted)).to.deep.equal(ALL)
  })

  const absences = [
    { name: 'away', go: async () => api.kill(), back: async () => api.start() },
    { name: 'silent', go: async () => api.pause(), back: async () => api.resume() },
  ]
  for (const { name, go, back } of absences)
    it(`while the API is ${name} an ADD is told to come again; other wires carry on`, async () => {
      await using a = await newPod('h1')
      await using b = await newPod('h2')
      await using c = await newPod('h3')
      await must('ADD', n1, 'h1', a)
      await must('ADD', n2, 'h2', b)
      await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
      await go()
      let isBack = false
      try {
        const refused = await call('ADD', n1, 'h3', c, { ...CONFIG, name: 'other' })
        expect(refused.output).to.include({ code: 11 })
        expect(refused.output?.['msg']).to.include(api.url)
        expect(await c.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
        const links = await n1.netns.run(['ip', '-br', 'link', 'show'])
        expect(links.match(/^lw/gm)).to.have.length(1)
        await expectTransparent(toStation(a), toStation(b), { rows: FRAME_ROWS.slice(0, 5) })
        await back()
        isBack = true
        await expectSoon('plugged once it is back', async () => {
          const { exitCode } = await call('ADD', n1, 'h3', c, { ...CONFIG, name: 'other' })
          return exitCode === 0
        })
      } finally {
        if (!isBack) await back()
      }
      await must('DEL', n1, 'h3', c, { ...CONFIG, name: 'other' })
      await must('DEL', n1, 'h1', a)
      await must('DEL', n2, 'h2', b)
      await expectNothingLeft()
    })

  it('an agent that starts while the API is away waits for it, and hears what it missed', async () => {
    await using a = await newPod('h1')
    await using b = await newPod('h2')
    await must('ADD', n1, 'h1', a)
    await must('ADD', n2, 'h2', b)
    await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
    await n1.node.stopAgent('SIGKILL')
    await must('DEL', n2, 'h2', b)
    await api.kill()
    const from = n1.node.readLog().length
    const starting = n1.node.startAgent()
    try {
      await expectSoon('it says so', async () =>
        n1.node.readLog().slice(from).includes('the store is not available'),
      )
    } finally {
      await api.start()
    }
    await starting
    await expectSoon('the tunnel is gone', async () => {
      const links = await n1.netns.run(['ip', '-br', 'link', 'show'])
      return !/^lx/m.test(links)
    })
    await must('DEL', n1, 'h1', a)
    await expectNothingLeft()
  })

  const starts = [
    ...absences,
    {
      name: 'refusing',
      go: async () => {
        await api.apply(newRole({}))
        await expectSoon('the role counts', async () => {
          const { output } = await n2.node.call(CONFIG, { command: 'STATUS' })
          return output?.['code'] === 50
        })
      },
      back: async () => api.kubectl(['apply', '-f', 'deploy/base/rbac.yaml']),
    },
  ]
  for (const { name, go, back } of starts)
    it(`an agent that starts while the API is ${name} is alive and unplugs, and plugs in afterwards`, async () => {
      await using a = await newPod('h1')
      await using b = await newPod('h2')
      await using c = await newPod('h3')
      const other = { ...CONFIG, name: 'other' }
      await must('ADD', n1, 'h1', a)
      await must('ADD', n2, 'h2', b)
      await expectSoon('connected', async () => (await getColumns()).includes('Connected'))
      await n1.node.stopAgent('SIGKILL')
      await go()
      const from = n1.node.readLog().length
      // How soon it is ready is the API's business.
      n1.node.startAgent().catch(() => undefined)
      let isBack = false
      try {
        await expectLogged(n1.node, 'the store is not available', from)
        expect((await probe('alive')).exitCode).to.equal(0)
        const { exitCode, stderr } = await probe('ready')
        expect(exitCode).to.equal(1)
        expect(stderr).to.include('is starting').and.include(api.url)
        const refused = await call('ADD', n1, 'h3', c, other)
        expect(refused.output).to.include({ code: 11 })
        expect(refused.output?.['msg']).to.include(api.url)
        await expectTransparent(toStation(a), toStation(b), { rows: FRAME_ROWS.slice(0, 5) })
        await must('DEL', n1, 'h1', a)
        expect(await a.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
        expect((await probe('alive')).exitCode).to.equal(0)
        await back()
        isBack = true
      } finally {
        if (!isBack) await back()
      }
      await expectSoon('ready', async () => (await probe('ready')).exitCode === 0)
      await expectSoon('the far end is told', async () => !(await getColumns()).includes('pod/h1 '))
      await must('ADD', n1, 'h3', c, other)
      await must('DEL', n1, 'h3', c, other)
      await must('DEL', n2, 'h2', b)
      await expectNothingLeft()
    }).timeout(300_000)

  it('an agent that is ended while it asks for its watches does not stay for them', async () => {
    const { node, netns } = n1
    const from = node.readLog().length
    const hasSaid = (what: string): boolean => node.readLog().slice(from).includes(what)
    await n1.setReachable(false)
    await expectSoon('its watches are cut off', () => hasSaid('cannot watch the store'))
    api.pause()
    try {
      await n1.setReachable(true)
      await expectSoon('it asks for them', async () =>
        (await netns.run('ss -Htn state established'.split(' '))).includes(new URL(api.url).port),
      )
      const ended = node.stopAgent('SIGTERM')
      await expectSoon('it is ending', () => hasSaid('stopping'))
      api.resume()
      await ended
    } finally {
      api.resume()
      await node.startAgent()
    }
  })
})

function newRole(verbs: Readonly<Record<string, readonly string[]>>): Manifest {
  const granted = Object.entries(verbs).filter(([, words]) => words.length > 0)
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: ACCOUNT },
    rules: granted.map(([resource, words]) => ({
      apiGroups: [API_GROUPS[resource] ?? 'l2wire.dev'],
      resources: [resource],
      verbs: words,
    })),
  }
}

function toStation(netns: LabNetns): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname: 'eth1' })
}
