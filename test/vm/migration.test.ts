// A running VM moves between two launchers, by real libvirt and QEMU, while a numbered stream runs between its guest
// and the far end of its wire on a third node. More of it: test/lab/migration.test.ts.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newMigrationLab, type MigrationLab } from '../../lab/migration.ts'
import { moveVm, moveVmInVain } from '../../lab/migration-move.ts'
import { newWireShape } from '../../lab/migration-shape.ts'
import { expectMoved, expectUntouched } from '../migration-report.ts'
import { leavesNothing } from '../nothing-left.ts'

describe('a VM that migrates', function () {
  this.timeout(300_000)
  let lab: MigrationLab
  leavesNothing(async (made) => {
    lab = made.use(
      await newMigrationLab({ farPlace: 'third', newShape: async () => newWireShape() }),
    )
  })

  it('keeps its wire where the migration is cancelled', async () => {
    const { report, said } = await moveVmInVain(lab, async (migration) => migration.cancel())
    expect(said).to.include('canceled by client')
    expectUntouched(report)
  })

  it('keeps its wire there and back', async () => {
    expectMoved(await moveVm(lab, 'target'))
    expectMoved(await moveVm(lab, 'source'))
  })
})
