// A node that is drained of twenty VMs at once: half of them are cabled to pods on any node, half to each other.
import { describe, it } from 'mocha'

import { newLabCluster, type ClusterNode, type LabCluster } from '../../lab/cluster.ts'
import { newLabNetns } from '../../lab/netns.ts'
import { newFileStore } from '../../store/file-store.ts'
import { expectSoon } from '../expect-soon.ts'
import {
  announce,
  areJoined,
  call,
  expectCable,
  isDark,
  type Sandbox,
} from '../kernel/fixture-migration.ts'
import { leavesNothing } from '../nothing-left.ts'

const PODS = Array.from({ length: 10 }, (_, at) => at)
const PAIRS = Array.from({ length: 5 }, (_, at) => at)

/** One cable: who has its ends before, who after. */
interface Cable {
  readonly wire: string
  readonly before: readonly [Sandbox, Sandbox]
  readonly after: readonly [Sandbox, Sandbox]
}

describe('twenty VMs that leave a node at once', function () {
  leavesNothing()

  let cluster: LabCluster
  let made: AsyncDisposableStack
  leavesNothing(async (shared) => {
    made = shared
    cluster = shared.use(await newLabCluster({ count: 3 }))
  })

  const newSandbox = async (
    at: number,
    wire: string,
    id: string,
    holder: string,
  ): Promise<Sandbox> => ({
    on: cluster.nodes[at] as ClusterNode,
    netns: made.use(await newLabNetns(id)),
    id,
    holder,
    wire,
  })
  const newVm = async (wire: string, vm: string, to: number): Promise<[Sandbox, Sandbox]> => [
    await newSandbox(0, wire, `${vm}-a`, `vm/${vm}`),
    await newSandbox(to, wire, `${vm}-b`, `vm/${vm}`),
  ]
  const newCables = async (): Promise<readonly Cable[]> => {
    const toPods = PODS.map(async (at): Promise<Cable> => {
      const wire = `w${at}`
      const [source, target] = await newVm(wire, `r${at}`, 1 + (at % 2))
      const far = await newSandbox(at % 3, wire, `h${at}`, `pod/h${at}`)
      return { wire, before: [source, far], after: [target, far] }
    })
    const toEachOther = PAIRS.map(async (at): Promise<Cable> => {
      const wire = `x${at}`
      const [source, target] = await newVm(wire, `a${at}`, 1)
      const [otherSource, otherTarget] = await newVm(wire, `b${at}`, 1 + (at % 2))
      return { wire, before: [source, otherSource], after: [target, otherTarget] }
    })
    return Promise.all([...toPods, ...toEachOther])
  }

  it('have their cables where they run', async () => {
    const cables = await newCables()
    const targets = cables.flatMap(({ before, after }) =>
      after.filter((end) => !before.includes(end)),
    )
    const sources = cables.flatMap(({ before, after }) =>
      before.filter((end) => !after.includes(end)),
    )
    await Promise.all(cables.flatMap(({ before }) => before).map(async (end) => call('ADD', end)))
    for (const { wire, before } of cables)
      await expectSoon(`${wire} is joined`, async () => areJoined(...before))
    await Promise.all(targets.map(async (end) => call('ADD', end, { standby: true })))

    await Promise.all(targets.map(announce))
    const store = newFileStore(cluster.storeFolder)
    for (const { wire, after } of cables)
      await expectSoon(`${wire} has moved`, async () => {
        const { ends = [] } = (await store.read({ namespace: 'lab', name: wire })) ?? {}
        return after.every(({ id }) => ends.some(({ containerID }) => containerID === id))
      })
    for (const source of sources)
      await expectSoon(`${source.id} has no cable`, async () => isDark(source))
    for (const { before, after } of cables) {
      await expectSoon(`${after[0].id} is joined`, async () => areJoined(...after))
      const left = before.filter((end) => !after.includes(end))
      await expectCable(...after, left)
    }

    await Promise.all(sources.map(async (end) => call('DEL', end)))
    for (const { after } of cables) await expectCable(...after)
    await Promise.all(cables.flatMap(({ after }) => after).map(async (end) => call('DEL', end)))
    await expectSoon('store empty', async () => (await cluster.listStore()).length === 0)
  })
})
