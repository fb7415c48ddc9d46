// A running VM moves between two launchers, as test/vm/migration.test.ts has it, for each place of its far end, each
// way in which its NIC may be attached, and a target that dies.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  COMPLETED,
  killVm,
  newMigrationLab,
  type MigrationLab,
  type Place,
} from '../../lab/migration.ts'
import { moveVm, moveVmInVain } from '../../lab/migration-move.ts'
import { newBridgeShape, newWireShape } from '../../lab/migration-shape.ts'
import { expectMoved, expectUntouched } from '../migration-report.ts'
import { leavesNothing } from '../nothing-left.ts'

async function newWireLab(
  farPlace: Place,
  attached: Parameters<typeof newWireShape>[0] = {},
): Promise<MigrationLab> {
  return newMigrationLab({ farPlace, newShape: async () => newWireShape(attached) })
}

describe('a VM that migrates, in other shapes', function () {
  this.timeout(300_000)
  leavesNothing()

  // What the lab itself loses.
  it('keeps a network of bridges', async () => {
    await using lab = await newMigrationLab({ farPlace: 'third', newShape: newBridgeShape })
    expectMoved(await moveVm(lab, 'target'))
  })

  for (const farPlace of ['source', 'target'] as const)
    it(`keeps its wire, whose far end is on the node of its ${farPlace}`, async () => {
      await using lab = await newWireLab(farPlace)
      expectMoved(await moveVm(lab, 'target'))
    })

  const attached = [
    // The device has another number, and so another path, in each launcher.
    { name: 'by macvtap', attach: 'macvtap', queues: 1 },
    { name: 'by a tap of several queues', attach: 'tap', queues: 2 },
    { name: 'by macvtap of several queues', attach: 'macvtap', queues: 2 },
  ] as const
  for (const { name, attach, queues } of attached)
    it(`keeps its wire, attached ${name}`, async () => {
      await using lab = await newWireLab('third', { attach, queues })
      expectMoved(await moveVm(lab, 'target'), queues)
    })

  it('keeps its wire where the target is destroyed on the way', async () => {
    await using lab = await newWireLab('target')
    const { report, said } = await moveVmInVain(lab, async (_, target) => killVm(target))
    // In words that depend on who notices first.
    expect(said).to.not.equal(COMPLETED)
    expectUntouched(report)
  })
})
