// Live migrations by KubeVirt itself: whoever runs has the cable, while a target is made ready, once the guest has come,
// and when the migration is cancelled.
import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'
import {
  beginSlowly,
  endSlowness,
  LOST_MOST,
  measureLoss,
  newMigrant,
  preferring,
  type Migrant,
} from './fixture-migration.ts'
import { watchPings, type PingWatch } from './fixture-ping-watch.ts'
import { expectWired } from './fixture-wired.ts'

const WITH_ADDRESSES = { capabilities: { ips: true } }
const WIRES = ['near', 'far']
describe('a VM that KubeVirt migrates', function () {
  this.timeout(900_000)
  let place: Place
  let home: string
  let away: string
  let watches: readonly PingWatch[]
  let r1: Migrant

  before(async () => {
    place = await newPlace()
    const { cluster, namespace } = place
    ;[home = '', away = ''] = [cluster.nodes.at(0)?.name, cluster.nodes.at(-1)?.name]
    for (const wire of WIRES) await place.addCable(wire, WITH_ADDRESSES)
    const shape = {
      words: ['l2w.ipv6=off', 'l2w.ip=eth1:10.9.1.2/24', 'l2w.ip=eth2:10.9.2.2/24'],
      // Where it is made, and no further.
      spec: preferring(home),
    }
    await cluster.apply(toVm({ name: 'r1', namespace }, home, WIRES, shape))
    await Promise.all([
      place.addPod('h1', home, [{ name: 'near', ips: ['10.9.1.1/24'] }]),
      place.addPod('h2', away, [{ name: 'far', ips: ['10.9.2.1/24'] }]),
      place.waitUntilBooted('r1'),
    ])
    await expectWired(place, WIRES)
    r1 = newMigrant(place, 'r1')
    watches = await Promise.all([
      watchPings(place, { node: cluster.getNode(home), pod: 'h1' }, '10.9.1.2'),
      watchPings(place, { node: cluster.getNode(away), pod: 'h2' }, '10.9.2.2'),
    ])
  })
  after(async () => place[Symbol.asyncDispose]())
  afterEach(async () => {
    await place.kubectl('delete', 'vmim', '--all')
    await endSlowness(place)
  })

  const measure = async (act: () => Promise<void>): Promise<readonly number[]> =>
    measureLoss(watches, act)

  for (const round of ['there', 'and back'])
    it(`is on its cables where it runs: ${round}`, async () => {
      const from = await r1.readNode()
      const name = `go-${round.replace(' ', '-')}`
      const lost = await measure(async () => {
        await r1.begin(name)
        await r1.waitForPhase(name, 'Succeeded', 'Failed')
        expect(await r1.readPhase(name)).to.equal('Succeeded')
        await expectWired(place, WIRES)
      })
      const to = await r1.readNode()
      expect(to).to.not.equal(from)
      expect(await r1.listHolders(WIRES)).to.deep.equal([to, to])
      expect(Math.max(...lost), `pings lost: ${lost.join(', ')}`).to.be.at.most(LOST_MOST)
    })

  it('keeps its cables when it is cancelled on its way', async () => {
    const from = await r1.readNode()
    const lost = await measure(async () => {
      await beginSlowly(place, r1, 'cancelled')
      // The target stands by, and whoever runs is still on its cables.
      expect(await r1.listHolders(WIRES)).to.deep.equal([from, from])
      expect(await place.l2wire('get', '-o', 'wide')).to.include('stands by')
      await place.kubectl('delete', 'vmim', 'cancelled', '--wait=false')
      await r1.waitUntilOver()
      await expectWired(place, WIRES)
    })
    expect(await r1.readNode()).to.equal(from)
    expect(await r1.listHolders(WIRES)).to.deep.equal([from, from])
    expect(lost, 'pings lost').to.deep.equal([0, 0])
  })

  it('keeps its cables when the target is killed on its way', async () => {
    const from = await r1.readNode()
    const lost = await measure(async () => {
      await beginSlowly(place, r1, 'killed')
      const { targetPod = '' } = await r1.readState()
      await place.kubectl('delete', 'pod', targetPod, '--force', '--grace-period=0')
      await r1.waitForPhase('killed', 'Failed')
      await expectWired(place, WIRES)
    })
    expect(await r1.readNode()).to.equal(from)
    expect(lost, 'pings lost').to.deep.equal([0, 0])
  })
})
