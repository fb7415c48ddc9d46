// Live migrations that nobody asked for by name: a changed network of a running VM, and a node that is drained with
// several VMs on it, both ends of a wire among them.
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'
import { waitFor } from '../../lab/kube/wait.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { openGuest } from './fixture-guest.ts'
import {
  LOST_MOST,
  measureLoss,
  MIGRATION_MS,
  newMigrant,
  preferring,
  type Migrant,
} from './fixture-migration.ts'
import { watchPings, type PingWatch } from './fixture-ping-watch.ts'
import { expectWired, findEnd } from './fixture-wired.ts'

const WITH_ADDRESSES = { capabilities: { ips: true } }
/** As an admin has it who wants running VMs to follow their specs. */
const LIVE_UPDATE = {
  configuration: { vmRolloutStrategy: 'LiveUpdate' },
  workloadUpdateStrategy: { workloadUpdateMethods: ['LiveMigrate'] },
}
const AT = ['kubevirt', 'kubevirt', '-n', 'kubevirt']

const GUEST_MS = 60_000

describe('VMs that KubeVirt migrates by itself', function () {
  this.timeout(1_200_000)
  let place: Place
  let home: string
  let away: string
  let original: Manifest
  let r1: Migrant
  let r2: Migrant

  before(async () => {
    place = await newPlace()
    const { cluster, namespace } = place
    ;[home = '', away = ''] = [cluster.nodes.at(0)?.name, cluster.nodes.at(-1)?.name]
    original = getMapping(await cluster.getObject('kubevirt', 'kubevirt', 'kubevirt'), 'spec')
    const patch = JSON.stringify({ spec: LIVE_UPDATE })
    await cluster.kubectl(['patch', ...AT, '--type', 'merge', '--patch', patch])
    for (const wire of ['old', 'new', 'both']) await place.addCable(wire, WITH_ADDRESSES)
    const shape = (...addresses: readonly string[]): Parameters<typeof toVm>[3] => ({
      words: ['l2w.ipv6=off', ...addresses.map((address) => `l2w.ip=${address}`)],
      spec: { ...preferring(home), evictionStrategy: 'LiveMigrate' },
    })
    await cluster.apply(
      toVm(
        { name: 'r1', namespace },
        home,
        ['old', 'both'],
        shape('eth1:10.9.1.2/24', 'eth2:10.9.2.1/24'),
      ),
      toVm({ name: 'r2', namespace }, home, ['both'], shape('eth1:10.9.2.2/24')),
    )
    await Promise.all([
      place.addPod('h1', away, [{ name: 'old', ips: ['10.9.1.1/24'] }]),
      place.addPod('h2', home, [{ name: 'new', ips: ['10.9.1.1/24'] }]),
      place.waitUntilBooted('r1'),
      place.waitUntilBooted('r2'),
    ])
    await expectWired(place, ['old', 'both'])
    ;[r1, r2] = [newMigrant(place, 'r1'), newMigrant(place, 'r2')]
  })
  after(async () => {
    await place.cluster.kubectl(['uncordon', home])
    await place[Symbol.asyncDispose]()
    const value = JSON.stringify([{ op: 'replace', path: '/spec', value: original }])
    await place.cluster.kubectl(['patch', ...AT, '--type', 'json', '--patch', value])
  })

  const watch = async (pod: string, node: string): Promise<PingWatch> =>
    watchPings(place, { node: place.cluster.getNode(node), pod }, '10.9.1.2')
  /** From one guest to the other. */
  const expectBothReached = async (): Promise<void> => {
    const guest = await openGuest(place, 'r1')
    await guest.run('ping -c 3 -W 10 10.9.2.2', { timeoutMs: GUEST_MS })
  }

  it('have their cables where they run when their node is drained, both ends of one too', async () => {
    expect([await r1.readNode(), await r2.readNode()]).to.deep.equal([home, home])
    const pings = await watch('h1', away)
    const drain = ['drain', home, '--pod-selector', 'kubevirt.io=virt-launcher']
    const lost = await measureLoss([pings], async () => {
      await place.cluster.kubectl([...drain, '--delete-emptydir-data', '--timeout', '10m'], {
        timeoutMs: 2 * MIGRATION_MS,
      })
      await expectWired(place, ['old', 'both'])
    })
    expect([await r1.readNode(), await r2.readNode()]).to.deep.equal([away, away])
    expect(await r1.listHolders(['old', 'both'])).to.deep.equal([away, away])
    expect(await r2.listHolders(['both'])).to.deep.equal([away])
    expect(Math.max(...lost), 'pings lost').to.be.at.most(LOST_MOST)
    await expectBothReached()
  })

  it('have the cable of a changed network where they run', async () => {
    await place.cluster.kubectl(['uncordon', home])
    const from = await r1.readNode()
    const path = '/spec/template/spec/networks/1/multus/networkName'
    const patch = JSON.stringify([
      { op: 'test', path, value: 'old' },
      { op: 'replace', path, value: 'new' },
    ])
    await place.kubectl('patch', 'vm', 'r1', '--type', 'json', '--patch', patch)
    const isThere = async (): Promise<boolean> =>
      (await findEnd(place, 'new', 'vm/r1')) !== undefined
    await waitFor('the VM is on the new cable', isThere, { timeoutMs: MIGRATION_MS })
    // Which has one answer before it returns.
    await watch('h2', home)
    await r1.waitUntilOver()
    await expectWired(place, ['new', 'both'])
    const to = await r1.readNode()
    expect(to).to.not.equal(from)
    expect(await findEnd(place, 'old', 'vm/r1')).to.equal(undefined)
    expect(await r1.listHolders(['new', 'both'])).to.deep.equal([to, to])
    await expectBothReached()
  })
})
