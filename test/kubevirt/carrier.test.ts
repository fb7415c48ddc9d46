// A running guest sees that its cable leads nowhere, where the network says "carrier": "vm": by KubeVirt's own way from
// the VirtualMachine to the guest, without a restart.
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import type { Guest } from '../../lab/guest.ts'
import { getMapping, ROOT, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { listVmNics, openGuest } from './fixture-guest.ts'
import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'
import { newMigrant, preferring } from './fixture-migration.ts'

const COMPONENT = join(ROOT, 'deploy/components/carrier-vm/rbac.yaml')
const MARK = 'l2wire.dev/carrier.ge0'

describe('"carrier": "vm" in a cluster', function () {
  this.timeout(600_000)
  let place: Place
  let guest: Guest
  /** The guest's NIC on the cable. */
  let nic: string
  let instanceUid: unknown

  before(async () => {
    place = await newPlace()
    await place.cluster.kubectl(['apply', '-f', COMPONENT])
    await place.addCable('r1-h1', { carrier: 'vm' })
    const { cluster, namespace } = place
    await cluster.apply(
      toVm({ name: 'r1', namespace }, 'n1', ['r1-h1'], { spec: preferring('n1') }),
    )
    await Promise.all([place.addPod('h1', 'n2', ['r1-h1']), place.waitUntilBooted('r1')])
    await place.waitUntilConnected('r1-h1')
    guest = await openGuest(place, 'r1')
    const [, onCable] = await listVmNics(place, 'r1')
    nic = (await guest.nicByMac(String(onCable?.['mac']))).name
    instanceUid = await getUid()
  })
  after(async () => {
    try {
      await place[Symbol.asyncDispose]()
    } finally {
      // It is the cluster's, and no VM needs it any more.
      await place.cluster.kubectl(['delete', '--ignore-not-found', '-f', COMPONENT])
    }
  })

  const getUid = async (): Promise<unknown> =>
    getMapping(await place.cluster.getObject('vmi', 'r1', place.namespace), 'metadata')['uid']
  const readVm = async (): Promise<Manifest> => {
    const vm = await place.cluster.getObject('vm', 'r1', place.namespace)
    const { interfaces } = getMapping(vm, 'spec', 'template', 'spec', 'domain', 'devices')
    const [, onCable] = interfaces as readonly Manifest[]
    const { annotations = {} } = getMapping(vm, 'metadata')
    return { state: onCable?.['state'], mark: (annotations as Manifest)[MARK] }
  }
  const expectCarrier = async (want: '0' | '1', why: string): Promise<void> => {
    await expectSoon(`the guest's carrier is ${want}: ${why}`, async () => {
      const seen = await guest.run(`cat /sys/class/net/${nic}/carrier`)
      return seen.trim() === want
    })
    const down = { state: 'down', mark: 'down' }
    const up = { state: undefined, mark: undefined }
    expect(await readVm()).to.deep.equal(want === '0' ? down : up)
    await place.kubectl('wait', 'wire/r1-h1', '--for=condition=CarrierShown', '--timeout=60s')
  }
  const setFarEnd = async (state: 'up' | 'down'): Promise<string> =>
    place.kubectl('exec', 'h1', '--', 'ip', 'link', 'set', 'dev', 'eth1', state)

  it('shows a guest that its cable is whole', async () => {
    await expectCarrier('1', 'both ends are plugged in')
  })

  it('shows it that the cable is taken out, and that it is back', async () => {
    await place.l2wire('unplug', 'r1-h1')
    await expectCarrier('0', 'unplugged')
    expect(await place.l2wire('describe', 'r1-h1')).to.match(/^Carrier: .*/m)
    await place.l2wire('plug', 'r1-h1')
    await expectCarrier('1', 'plugged in again')
  })

  it('shows it that the far end is set down, and up again', async () => {
    await setFarEnd('down')
    await expectCarrier('0', 'the far end is down')
    await setFarEnd('up')
    await expectCarrier('1', 'the far end is up')
  })

  it('shows it that the far pod has gone, and that another has come', async () => {
    await place.kubectl('delete', 'pod', 'h1')
    await expectCarrier('0', 'the far pod is gone')
    await place.addPod('h1', 'n1', ['r1-h1'])
    await expectCarrier('1', 'a pod is plugged in on the node of the VM')
  })

  it('shows it what happens once it has migrated', async () => {
    const r1 = newMigrant(place, 'r1')
    await r1.begin('go')
    await r1.waitForPhase('go', 'Succeeded', 'Failed')
    expect(await r1.readPhase('go')).to.equal('Succeeded')
    guest = await openGuest(place, 'r1')
    await expectCarrier('1', 'it runs on the other node')
    await setFarEnd('down')
    await expectCarrier('0', 'the far end is down')
    await setFarEnd('up')
    await expectCarrier('1', 'the far end is up')
  })

  it('carries frames after all that, in a VM that was not started anew', async () => {
    await guest.run(`ip address add 10.9.0.1/24 dev ${nic}`)
    await place.kubectl('exec', 'h1', '--', 'ip', 'address', 'add', '10.9.0.2/24', 'dev', 'eth1')
    await guest.run('ping -c 2 -W 20 10.9.0.2')
    expect(await getUid()).to.equal(instanceUid)
  })
})
