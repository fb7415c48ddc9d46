// Many cables that move at once: sixteen of one VM, and those of twenty VMs on a node that is drained.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { toPodLinkName } from '../../core/name.ts'
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
  readLetIn,
  type Sandbox,
} from '../kernel/fixture-migration.ts'
import { leavesNothing } from '../nothing-left.ts'

const PODS = Array.from({ length: 10 }, (_, at) => at)
const PAIRS = Array.from({ length: 5 }, (_, at) => at)

/** Of one VM. */
const CABLES = Array.from({ length: 16 }, (_, at) => at)

/** One cable: who has its ends before, who after. */
interface Cable {
  readonly wire: string
  readonly before: readonly [Sandbox, Sandbox]
  readonly after: readonly [Sandbox, Sandbox]
}

describe('many cables that migrate at once', function () {
  this.timeout(300_000)

  let cluster: LabCluster
  let made: AsyncDisposableStack
  leavesNothing(async (shared) => {
    made = shared
    cluster = shared.use(await newLabCluster({ count: 3 }))
  })

  const isHolder = async ({ id, wire = '' }: Sandbox): Promise<boolean> => {
    const store = newFileStore(cluster.storeFolder)
    const { ends = [] } = (await store.read({ namespace: 'lab', name: wire })) ?? {}
    return ends.some(({ containerID }) => containerID === id)
  }
  const expectEmptyStore = async (): Promise<void> =>
    expectSoon('store empty', async () => (await cluster.listStore()).length === 0)

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
  const newNics = async (at: number, id: string, holder: string): Promise<readonly Sandbox[]> => {
    const sandbox = await newSandbox(at, '', id, holder)
    // Silent by their names, the far end's, too.
    return CABLES.map((nic) => ({
      ...sandbox,
      ifname: toPodLinkName(`ge${nic}`),
      wire: `w${nic}`,
    }))
  }
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

  it('are all where their VM runs once its guest has sent one frame', async () => {
    const source = await newNics(0, 'big-a', 'vm/big')
    const target = await newNics(1, 'big-b', 'vm/big')
    const far = await newNics(2, 'far', 'pod/far')
    for (const nic of [...source, ...far]) await call('ADD', nic)
    await expectSoon('joined', async () => areJoined(...source, ...far))
    for (const nic of target) await call('ADD', nic, { standby: true })
    const n2 = cluster.nodes[1] as ClusterNode
    const n3 = cluster.nodes[2] as ClusterNode
    await expectSoon('ready', async () => {
      const letIn = (await readLetIn(n3)).filter((address) => address === n2.address)
      return letIn.length === CABLES.length
    })
    await announce(target[7] as Sandbox)
    for (const [at, nic] of target.entries()) {
      const [old, farNic] = [source[at] as Sandbox, far[at] as Sandbox]
      await expectSoon(`${nic.ifname} has its cable`, async () => isHolder(nic))
      await expectSoon(`${nic.ifname} of the source has none`, async () => isDark(old))
      await expectSoon(`${nic.ifname} is joined`, async () => areJoined(nic, farNic))
      await expectCable(nic, farNic, [old])
    }
    for (const nic of [...target, ...source, ...far]) await call('DEL', nic)
    await expectEmptyStore()
  })

  it('are where their VMs run when twenty leave a node', async () => {
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
    for (const end of targets) await expectSoon(`${end.id} has the end`, async () => isHolder(end))
    for (const source of sources)
      await expectSoon(`${source.id} has no cable`, async () => isDark(source))
    for (const { before, after } of cables) {
      await expectSoon(`${after[0].id} is joined`, async () => areJoined(...after))
      const left = before.filter((end) => !after.includes(end))
      await expectCable(...after, left)
    }

    await Promise.all(sources.map(async (end) => call('DEL', end)))
    for (const { after } of cables) expect(await areJoined(...after)).to.equal(true)
    await Promise.all(cables.flatMap(({ after }) => after).map(async (end) => call('DEL', end)))
    await expectEmptyStore()
  })
})
