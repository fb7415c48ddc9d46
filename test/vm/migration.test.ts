// A running VM moves between two launchers, by real libvirt and QEMU, while a numbered stream runs between its guest
// and the far end of its network.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  COMPLETED,
  killVm,
  newMigrationLab,
  type LauncherPod,
  type Migration,
  type MigrationLab,
  type Place,
} from '../../lab/migration.ts'
import { moveVm, moveVmInVain } from '../../lab/migration-move.ts'
import { newBridgeShape, newWireShape } from '../../lab/migration-shape.ts'
import { expectMoved, expectUntouched } from '../migration-report.ts'
import { leavesNothing } from '../nothing-left.ts'

async function newWireLab(farPlace: Place): Promise<MigrationLab> {
  return newMigrationLab({ farPlace, newShape: async () => newWireShape() })
}

const cancel = async (migration: Migration): Promise<void> => migration.cancel()
const destroy = async (_: Migration, target: LauncherPod): Promise<void> => killVm(target)

describe('a VM that migrates', function () {
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

  it('keeps its wire there and back, whose far end is on a third node', async () => {
    await using lab = await newWireLab('third')
    expectMoved(await moveVm(lab, 'target'))
    expectMoved(await moveVm(lab, 'source'))
  })

  it('keeps its wire where the migration is cancelled', async () => {
    await using lab = await newWireLab('third')
    const { report, said } = await moveVmInVain(lab, cancel)
    expect(said).to.include('canceled by client')
    expectUntouched(report)
  })

  it('keeps its wire where the target is destroyed on the way', async () => {
    await using lab = await newWireLab('target')
    const { report, said } = await moveVmInVain(lab, destroy)
    // In words that depend on who notices first.
    expect(said).to.not.equal(COMPLETED)
    expectUntouched(report)
  })
})
