// What users say of a VM's interface comes before what its cable says ("carrier": "vm"), and an instance of
// nobody's says that there is nothing to say it to.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { forgetGuest, tellGuest } from '../../agent/guest/carrier.ts'
import { CommandError } from '../../core/errors.ts'
import { planCarrier } from '../../core/guest/carrier.ts'
import { getMapping, type Manifest } from '../../lab/manifests.ts'
import { expectSoon } from '../expect-soon.ts'
import { CONFIG, LINK, useGuests } from './fixture-guest-carrier.ts'

/** Longer than a change takes to settle. */
const SETTLED_MS = 1_500

describe('a VM whose user says something else than its cable', function () {
  this.timeout(90_000)
  const {
    place,
    newManifest,
    newInstance,
    newVm,
    getVm,
    readVm,
    patchVm,
    expectVm,
    expectCondition,
    countRequests,
    plug,
  } = useGuests()

  it("keeps a user's own down", async () => {
    await newVm({ state: 'down' })
    const { node, attachment } = await plug()
    const patches = await countRequests('PATCH')
    for (const hasCarrier of [true, false, true]) {
      tellGuest(node, attachment, hasCarrier)
      await expectCondition('False', 'UserSet', 'interface ge0')
      await sleep(SETTLED_MS)
    }
    expect(await countRequests('PATCH')).to.equal(patches)
    expect(await readVm()).to.deep.equal({ state: 'down', mark: undefined })
  })

  it("keeps what a user makes of our down, also past an agent's restart", async () => {
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    const path = '/spec/template/spec/domain/devices/interfaces/1/state'
    await patchVm([{ op: 'replace', path, value: 'up' }])
    for (let start = 1; start <= 2; start += 1) {
      forgetGuest(node, attachment)
      const again = await plug()
      tellGuest(again.node, again.attachment, false)
      await expectCondition('False', 'UserSet', 'state: up')
      await expectVm('up', 'user')
      forgetGuest(again.node, again.attachment)
    }
    const last = await plug()
    tellGuest(last.node, last.attachment, true)
    await expectVm('up', undefined)
    await expectCondition('True', 'Shown')
  })

  it("what kubectl makes of an interface that is down: apply sets the user's, --server-side asks", async () => {
    const { api } = place()
    await newVm()
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectVm('down', 'down')
    let refusal = ''
    try {
      const input = JSON.stringify(newManifest())
      await api.kubectl(['apply', '--server-side', '-f', '-'], { input })
    } catch (error) {
      refusal = error instanceof CommandError ? error.stderr : String(error)
    }
    expect(refusal).to.include('conflict').and.include('l2wire-agent')
    await api.apply(newManifest())
    await expectVm(undefined, 'down')
    tellGuest(node, attachment, true)
    await expectVm(undefined, undefined)
  })

  it('is not patched by the index of an interface that has moved', async () => {
    await newVm()
    const { patch } = planCarrier(await getVm(), LINK, false)
    const nic = { name: 'new', masquerade: {} }
    await patchVm([
      { op: 'add', path: '/spec/template/spec/domain/devices/interfaces/0', value: nic },
    ])
    let refusal = ''
    try {
      await patchVm(patch)
    } catch (error) {
      refusal = error instanceof CommandError ? error.stderr : String(error)
    }
    expect(refusal).to.include('The request is invalid')
    const { node, attachment } = await plug()
    tellGuest(node, attachment, false)
    await expectSoon('the right one is down', async () => {
      const devices = getMapping(await getVm(), 'spec', 'template', 'spec', 'domain', 'devices')
      const states = (devices['interfaces'] as readonly Manifest[]).map(({ state }) => state)
      return states[2] === 'down' && states[0] === undefined && states[1] === undefined
    })
  })

  it('an instance that stands alone, or whose network asks for nothing, says so', async () => {
    await newInstance()
    const alone = await plug()
    tellGuest(alone.node, alone.attachment, false)
    await expectCondition('False', 'NoVirtualMachine', 'VirtualMachineInstance r1')
    const { carrier: _carrier, ...silent } = CONFIG
    const gets = await countRequests('GET')
    const unasked = await plug(silent)
    tellGuest(unasked.node, unasked.attachment, false)
    await expectCondition('False', 'NotAsked', '"carrier": "vm"')
    expect(await countRequests('GET')).to.equal(gets)
  })
})
