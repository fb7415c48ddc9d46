// KubeVirt's own migrations under 1,000 numbered frames a second each way, as many as L2W_MIGRATIONS says, and as many
// that are cancelled on their way. The far end is on the source's node and on the target's in turns.
import { expect } from 'chai'
import { after, afterEach, before, describe, it } from 'mocha'

import { newPlace, toVm, type Place } from '../../lab/kube/place.ts'
import { newStream, type Stream } from '../../lab/stream.ts'
import { compareLogs, findSilence, type Direction } from '../../lab/stream-log.ts'
import { findNetns, listVmNics, openGuest } from './fixture-guest.ts'
import {
  beginSlowly,
  endSlowness,
  newMigrant,
  preferring,
  type Migrant,
} from './fixture-migration.ts'
import { expectWired } from './fixture-wired.ts'

const COUNT = Number(process.env['L2W_MIGRATIONS'] ?? 1)
const FRAMES_PER_SECOND = 1000
/** Long enough for what goes wrong at any step to show. */
const A_WHILE = 2 * FRAMES_PER_SECOND
/**
 * What is sent to the guest and lost before nothing is heard of it and after it is heard again. Of a machine at rest that is 100
 * frames; on a busy one whoever is to act gets no CPU for as long.
 */
const LATE_FRAMES = FRAMES_PER_SECOND
const WIRE = 'stream'

interface Report {
  readonly toGuest: Direction
  readonly fromGuest: Direction
}

describe('a VM that KubeVirt migrates, under a stream', function () {
  this.timeout(COUNT * 1_200_000)
  let place: Place
  let r1: Migrant
  let home: string

  before(async () => {
    place = await newPlace()
    const { cluster, namespace } = place
    home = cluster.nodes.at(0)?.name ?? ''
    await place.addCable(WIRE)
    await cluster.apply(toVm({ name: 'r1', namespace }, home, [WIRE], { spec: preferring(home) }))
    await Promise.all([place.addPod('h1', home, [WIRE]), place.waitUntilBooted('r1')])
    await expectWired(place, [WIRE])
    r1 = newMigrant(place, 'r1')
  })
  after(async () => place[Symbol.asyncDispose]())
  afterEach(async () => {
    await place.kubectl('delete', 'vmim', '--all')
    await endSlowness(place)
  })

  const startStream = async (): Promise<Stream> => {
    const nic = (await listVmNics(place, 'r1')).find(({ name }) => name === 'ge0')
    return newStream({
      netns: await findNetns(place, 'h1'),
      ifname: 'eth1',
      guestMac: String(nic?.['mac']),
      framesPerSecond: FRAMES_PER_SECOND,
      getGuest: async () => openGuest(place, 'r1'),
    })
  }
  const watch = async (act: () => Promise<void>): Promise<Report> => {
    await using stream = await startStream()
    await stream.waitForFrames(A_WHILE)
    await act()
    await expectWired(place, [WIRE])
    await stream.waitForFrames(A_WHILE)
    const { guest, far } = await stream.end()
    // Nothing tells here when the guest ran: it is heard all the time that it does.
    const silence = findSilence(far)
    const report = { toGuest: compareLogs(far, guest, silence), fromGuest: compareLogs(guest, far) }
    process.stdout.write(`      ${render(report)}\n`)
    expectInOrder(report)
    return report
  }

  for (let round = 1; round <= COUNT; round += 1) {
    it(`loses what is sent while it runs nowhere, and little more (${round} of ${COUNT})`, async () => {
      const from = await r1.readNode()
      const { toGuest } = await watch(async () => {
        await r1.begin(`go-${round}`)
        await r1.waitForPhase(`go-${round}`, 'Succeeded', 'Failed')
        await r1.waitUntilOver()
      })
      expect(await r1.readNode()).to.not.equal(from)
      expect(toGuest.lostBefore + toGuest.lostAfter).to.be.at.most(LATE_FRAMES)
    })

    it(`loses nothing where it is cancelled (${round} of ${COUNT})`, async () => {
      const from = await r1.readNode()
      const { toGuest } = await watch(async () => {
        await beginSlowly(place, r1, `stay-${round}`)
        await place.kubectl('delete', 'vmim', `stay-${round}`, '--wait=false')
        await r1.waitUntilOver()
      })
      expect(await r1.readNode()).to.equal(from)
      expect(toGuest.lost).to.equal(0)
    })
  }
})

function render({ toGuest, fromGuest }: Report): string {
  return (
    `to the guest ${toGuest.sent} sent, ${toGuest.lost} lost, ${toGuest.lostBefore} of them before it was silent, ` +
    `${toGuest.lostAfter} after, longest gap ${toGuest.longestGapMs.toFixed(0)} ms; ` +
    `from the guest ${fromGuest.sent} sent, ${fromGuest.lost} lost, longest silence ${fromGuest.longestSilenceMs.toFixed(0)} ms`
  )
}

function expectInOrder({ toGuest, fromGuest }: Report): void {
  for (const [way, { sent, doubled, reordered, overrun }] of Object.entries({
    toGuest,
    fromGuest,
  })) {
    expect(overrun, `${way}: the receiver had room for all`).to.equal(0)
    expect(sent, `${way}: sent`).to.be.greaterThan(A_WHILE)
    expect({ doubled, reordered }, way).to.deep.equal({ doubled: 0, reordered: 0 })
  }
  expect(fromGuest.lost, "the guest's own frames").to.equal(0)
}
