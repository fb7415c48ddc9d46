// What becomes of VirtualMachines in a real API server, with KubeVirt's own schemas, when a cable of a network
// with "carrier": "vm" leads nowhere. KubeVirt's admission and controllers are not there: that a running
// guest then sees its link go is theirs to do.
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { forgetGuest, tellGuest } from '../../agent/guest/carrier.ts'
import { report, toReport } from '../../agent/wire/report.ts'
import { reportWire } from '../../core/wire/wire.ts'
import { getMapping } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { CONFIG, useGuests } from './fixture-guest-carrier.ts'

/** Longer than a change takes to settle. */
const SETTLED_MS = 1_500

describe('a VM whose network says "carrier": "vm"', function () {
  this.timeout(90_000)
  const {
    place,
    grant,
    revoke,
    newVm,
    getVm,
    readVm,
    expectVm,
    expectCondition,
    countRequests,
    plug,
  } = useGuests()

  it('says down while the far end is away, and what it said before when that is back', async () => {
    const { api, namespace } = place()
    for (const [before, mark] of [
      [undefined, 'down'],
      ['up', 'down-was-up'],
    ] as const) {
      await newVm(before === undefined ? {} : { state: before })
      const first = await getVm()
      const { node, attachment } = await plug()
      tellGuest(node, attachment, false)
      await expectVm('down', mark)
      await expectCondition('True', 'Shown', 'vm/r1')
      tellGuest(node, attachment, true)
      await expectVm(before, undefined)
      const last = await getVm()
      expect(last['spec']).to.deep.equal(first['spec'])
      expect(getMapping(last, 'metadata', 'annotations')).to.deep.equal(
        getMapping(first, 'metadata', 'annotations'),
      )
      forgetGuest(node, attachment)
      await api.kubectl(['delete', 'vm,vmi', 'r1', '-n', namespace])
    }
  })

  it('is asked nothing while nothing changes, and read once by an agent that starts', async () => {
    const { api, namespace } = place()
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
    const wire = await api.getObject('wire', 'r1-h1', namespace)
    const [gets, patches] = [await countRequests('GET'), await countRequests('PATCH')]
    for (let look = 1; look <= 100; look += 1) tellGuest(node, attachment, false)
    await sleep(SETTLED_MS)
    expect(await countRequests('GET')).to.equal(gets)
    const again = await plug()
    tellGuest(again.node, again.attachment, false)
    await expectSoon('it has read', async () => (await countRequests('GET')) === gets + 2)
    await sleep(SETTLED_MS)
    expect(await countRequests('GET')).to.equal(gets + 2)
    expect(await countRequests('PATCH')).to.equal(patches)
    expect(getMapping(await api.getObject('wire', 'r1-h1', namespace), 'status')).to.deep.equal(
      getMapping(wire, 'status'),
    )
  })

  it('is patched once or twice by a far end that flaps ten times before that settles', async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('True', 'Shown')
    const patches = await countRequests('PATCH')
    for (let flap = 1; flap <= 10; flap += 1)
      for (const hasCarrier of [false, true]) {
        tellGuest(node, attachment, hasCarrier)
        await setImmediate()
      }
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    await sleep(SETTLED_MS)
    expect((await countRequests('PATCH')) - patches).to.be.within(1, 2)
    expect(await readVm()).to.deep.equal({ state: 'down', mark: 'down' })
  })

  it('is told by the one of two agents that is heard, while others write to it', async () => {
    const { api, namespace } = place()
    await newVm()
    const both = [await plug(), await plug(CONFIG, 'n2')]
    const writes = Array.from({ length: 20 }, async (_, at) =>
      api.kubectl(['label', 'vm', 'r1', '-n', namespace, `l${at}=x`]),
    )
    for (const { node, attachment } of both) tellGuest(node, attachment, false)
    await Promise.all(writes)
    await expectVm('down', 'down')
    for (const { node, attachment } of both) tellGuest(node, attachment, true)
    await expectVm(undefined, undefined)
  })

  it('is not told where the agent may not, and is once it may', async () => {
    await newVm()
    await revoke()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectCondition('False', 'Forbidden', 'expected deploy/components/carrier-vm')
    expect(await readVm()).to.deep.equal({ state: undefined, mark: undefined })
    await grant()
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
  })

  it('is left alone by an end that is unplugged, or lost its cable, before its change has settled', async () => {
    await newVm()
    const { node, attachment } = await plug()
    const patches = await countRequests('PATCH')
    tellGuest(node, attachment, false)
    forgetGuest(node, attachment)
    const taken = await plug()
    await taken.node.state.put({ ...taken.attachment, phase: 'released' })
    tellGuest(taken.node, taken.attachment, false)
    await sleep(SETTLED_MS)
    expect(await countRequests('PATCH')).to.equal(patches)
  })

  it('is told once the API is back, and the wire says so meanwhile', async () => {
    const { api } = place()
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('True', 'Shown')
    await api.kill()
    try {
      tellGuest(node, attachment, false)
      await sleep(SETTLED_MS)
    } finally {
      await api.start()
    }
    await expectVm('down', 'down')
    await expectCondition('True', 'Shown')
  })

  it("a node's next report keeps what is known of its guests", async () => {
    await newVm({ state: 'down' })
    const { node, attachment } = await plug()
    tellGuest(node, attachment, true)
    await expectCondition('False', 'UserSet')
    const { wire: id } = attachment
    const wire = await node.store.update(id, (current) =>
      reportWire(current, { node: node.name, state: 'failed', ends: [], message: 'lost' }),
    )
    if (wire !== undefined) report(node, id, [attachment], toReport(node, wire, 'waiting'))
    await expectCondition('False', 'UserSet', 'interface ge0')
  })
})
