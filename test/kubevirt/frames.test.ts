// What goes through wires of real launchers and pods, on one node and between two: the whole frame table, by a user's
// command and from inside the guests; and, while nobody sends, nothing at all.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import type { Capture, Station } from '../../kernel/tester/station.ts'
import { expectTransparent } from '../expect-transparent.ts'
import { newPodStation, newVmStation } from './fixture-guest.ts'
import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'
import { expectTable } from './fixture-table.ts'

/** Longest frames the cable tester sends. */
const MTU = { mtu: 9216 }
const CABLES = ['h1-h2', 'r1-h1', 'r1-h2', 'r1-r2', 'r1-r3'] as const
/** How long a guest that has booted is listened to. */
const QUIET_MS = 60_000
/** IEEE's ethertype for local experiments. */
const HELLO = Buffer.from(`ffffffffffff02005e00530188b5${'00'.repeat(46)}`, 'hex')

describe('wires of a cluster', function () {
  this.timeout(600_000)
  let place: Place
  const stations = new Map<string, Station>()
  /** Of containers, at cables whose other end is a VM's, since before that VM was made. */
  const captures = new Map<string, Capture>()
  let bootedAt = 0

  before(async () => {
    place = await newPlace()
    for (const name of CABLES) await place.addCable(name, MTU)
    await Promise.all([
      place.addPod('h1', 'n1', ['h1-h2', 'r1-h1']),
      place.addPod('h2', 'n2', ['h1-h2', 'r1-h2']),
    ])
    for (const pod of ['h1', 'h2']) {
      const station = await newPodStation(place, pod, 'eth2')
      stations.set(pod, station)
      captures.set(pod, await station.startCapture())
    }
    const { namespace, cluster } = place
    await cluster.apply(
      toVm({ name: 'r1', namespace }, 'n1', ['r1-h1', 'r1-h2', 'r1-r2', 'r1-r3']),
      toVm({ name: 'r2', namespace }, 'n1', ['r1-r2']),
      toVm({ name: 'r3', namespace }, 'n2', ['r1-r3']),
    )
    await Promise.all(['r1', 'r2', 'r3'].map(place.waitUntilBooted))
    bootedAt = Date.now()
    for (const name of CABLES) await place.waitUntilConnected(name)
  })
  after(async () => {
    for (const capture of captures.values()) await capture[Symbol.asyncDispose]()
    await place[Symbol.asyncDispose]()
  })

  it('carry every class of frames between containers of two nodes', async () => {
    await expectTable(place, 'h1-h2')
  })

  it('are silent from before the VM was made until a minute after its guest has booted', async () => {
    await sleep(Math.max(0, bootedAt + QUIET_MS - Date.now()))
    for (const [pod, capture] of captures)
      expect(await capture.stop(), `frames at ${pod}`).to.deep.equal([])
    // Who listens as they did hears the first frame that the guest sends.
    for (const [pod, nic] of [
      ['h1', 'ge0'],
      ['h2', 'ge1'],
    ] as const) {
      const station = getStation(pod)
      await using capture = await station.startCapture()
      await (await newVmStation(place, 'r1', nic)).send([HELLO])
      const heard = await capture.stop()
      expect(heard.map((frame) => Buffer.from(frame).toString('hex'))).to.deep.equal([
        HELLO.toString('hex'),
      ])
    }
  })

  for (const [what, wire, far, farNic] of [
    ['a VM and a container of its node', 'r1-h1', 'h1', 'ge0'],
    ['a VM and a container of another node', 'r1-h2', 'h2', 'ge1'],
    ['VMs of one node', 'r1-r2', 'r2', 'ge2'],
    ['VMs of two nodes', 'r1-r3', 'r3', 'ge3'],
  ] as const)
    it(`carry every class of frames between ${what}, from link to link and from guest to end`, async () => {
      await expectTable(place, wire)
      const guest = await newVmStation(place, 'r1', farNic)
      const end = stations.get(far) ?? (await newVmStation(place, far, 'ge0'))
      await expectTransparent(guest, end)
    })

  const getStation = (pod: string): Station => {
    const station = stations.get(pod)
    if (station === undefined) throw new Error(`No station at ${pod}`)
    return station
  }
})
