// A launcher's guest that comes to its target while the Kubernetes API is away: it refuses connections, or gives no
// answer. KubeVirt's part is played by what it writes into the API.
import { before, beforeEach, afterEach, describe, it } from 'mocha'

import { ARRIVALS_TABLE } from '../../core/steps/arrivals.ts'
import type { LabApiServer } from '../../lab/api-server.ts'
import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { newCountedFrames } from '../../lab/counted-frames.ts'
import { getMapping } from '../../lab/manifests.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  announce,
  areJoined,
  expectFlow,
  isDark,
  NIC,
  toStation,
  type Sandbox,
} from '../kernel/fixture-migration.ts'
import { startListening } from '../listening.ts'
import { leavesNothing } from '../nothing-left.ts'
import { getApi } from './fixture-api.ts'
import { newVmi } from './fixture-owners.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }

describe('a launcher whose guest moves while the API is away', function () {
  this.timeout(180_000)
  let api: LabApiServer
  let cluster: LabCluster
  let namespace: string
  let made: AsyncDisposableStack
  let source: Sandbox
  let target: Sandbox
  let far: Sandbox

  before(async () => {
    api = await getApi()
  })
  leavesNothing(async (stack) => {
    cluster = stack.use(await newLabCluster({ api, count: 3, prefix: 'away-' }))
  })

  const call = async (command: 'ADD' | 'DEL', { on, netns, id }: Sandbox): Promise<void> => {
    const args = `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${id}`
    const rest = { containerID: `${id}-${netns.name}`, netns: netns.path, ifname: NIC, args }
    await on.node.mustCall(CONFIG, { command, ...rest })
  }
  const newPod = async (at: number, id: string, metadata: object = {}): Promise<Sandbox> => {
    const spec = { nodeName: `away-${at + 1}`, containers: [{ name: 'shell', image: 'busybox' }] }
    const rest = { metadata: { ...metadata, name: id, namespace }, spec }
    await api.apply({ apiVersion: 'v1', kind: 'Pod', ...rest })
    const netns = made.use(await newLabNetns(id))
    return { on: cluster.nodes[at] as ClusterNode, netns, id, holder: '' }
  }
  const patchStatus = async (status: object): Promise<void> => {
    const patch = ['--type=merge', '-p', JSON.stringify({ status })]
    await api.kubectl(['patch', 'vmi', 'r1', '-n', namespace, ...patch])
  }
  const newLauncher = async (at: number, id: string, labels: object = {}): Promise<Sandbox> => {
    const owner = await newVmi({ api, namespace }, 'r1')
    const pod = await newPod(at, id, { labels, ownerReferences: [owner] })
    const { uid } = getMapping(await api.getObject('pod', id, namespace), 'metadata')
    await patchStatus({ activePods: { [String(uid)]: `away-${at + 1}` } })
    return pod
  }
  const listHolders = async (): Promise<string> =>
    api.kubectl(['get', 'wires', '-n', namespace, '-o', 'jsonpath={.items[*].spec.ends[*].node}'])

  const build = async (at: number): Promise<void> => {
    source = await newLauncher(0, 'virt-launcher-r1-a')
    await patchStatus({ nodeName: 'away-1' })
    far = await newPod(at, 'h1')
    for (const sandbox of [source, far]) await call('ADD', sandbox)
    await expectSoon('joined', async () => areJoined(source, far))
    target = await newLauncher(1, 'virt-launcher-r1-b', { 'kubevirt.io/migrationJobUID': 'm1' })
    await call('ADD', target)
    await expectSoon('ready', async () => areJoined(target))
    if (at === 1) return
    await expectSoon('it is waited for', async () => {
      const tables = await far.on.netns.run(['nft', 'list', 'ruleset'])
      return tables.split(ARRIVALS_TABLE)[1]?.includes(target.on.address) ?? false
    })
  }
  const run = async (): Promise<void> => {
    await patchStatus({ migrationState: { targetPod: target.id, targetNode: 'away-2' } })
  }

  beforeEach(async () => {
    made = new AsyncDisposableStack()
    namespace = await api.newNamespace('away')
  })
  afterEach('leaves nothing', async () => {
    for (const sandbox of [target, source, far]) await call('DEL', sandbox)
    await expectSoon('nothing left', async () => {
      const wires = await api.kubectl(['get', 'wires', '-n', namespace, '-o', 'name'])
      return wires.trim() === ''
    })
    await made.disposeAsync()
  })

  const ways = {
    refuses: {
      leave: async () => cluster.setStoreReachable(false),
      comeBack: async () => cluster.setStoreReachable(true),
    },
    'is silent': {
      leave: async () => Promise.resolve(api.pause()),
      comeBack: async () => Promise.resolve(api.resume()),
    },
  }

  for (const [place, at] of [
    ["on the source's node", 0],
    ["on the target's node", 1],
    ['on a third node', 2],
  ] as const)
    for (const [what, { leave, comeBack }] of Object.entries(ways))
      for (const isRunning of at === 1 ? [true, false] : [true])
        it(`has its cable there, with an API that ${what}${isRunning ? '' : ' before the migration runs'}, and the far end ${place}`, async () => {
          await build(at)
          if (isRunning) await run()
          await leave()
          try {
            await using listening = await startListening(target.netns.path, NIC)
            await expectSoon('the far end leads to the target', async () => {
              await announce(target)
              await toStation(far).send(newCountedFrames(1))
              return (await listening.read()).length > 0
            })
            await expectFlow(far, target, [source])
          } finally {
            await comeBack()
          }
          if (!isRunning) await run()
          await expectSoon('the API knows', async () => {
            // The target's agent may have heard that the migration runs after the far end heard the guest.
            if (at !== 1) await announce(target)
            return (await listHolders()).includes('away-2')
          })
          await expectSoon('the source has no cable', async () => isDark(source))
          await expectFlow(far, target, [source])
          await expectFlow(target, far, [source])
        })
})
