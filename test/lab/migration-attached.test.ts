// A running VM moves between two launchers, as test/vm/migration.test.ts has it, for each way in which its NIC may be
// attached.
import { describe, it } from 'mocha'

import { newMigrationLab } from '../../lab/migration.ts'
import { moveVm } from '../../lab/migration-move.ts'
import { newWireShape } from '../../lab/migration-shape.ts'
import { expectMoved } from '../migration-report.ts'
import { leavesNothing } from '../nothing-left.ts'

describe('a VM that migrates, attached in another way', function () {
  this.timeout(300_000)
  leavesNothing()

  const attached = [
    // The device has another number, and so another path, in each launcher.
    { name: 'by macvtap', attach: 'macvtap', queues: 1 },
    { name: 'by a tap of several queues', attach: 'tap', queues: 2 },
    { name: 'by macvtap of several queues', attach: 'macvtap', queues: 2 },
  ] as const
  for (const { name, attach, queues } of attached)
    it(`keeps its wire, attached ${name}`, async () => {
      await using lab = await newMigrationLab({
        farPlace: 'third',
        newShape: async () => newWireShape({ attach, queues }),
      })
      expectMoved(await moveVm(lab, 'target'), queues)
    })
})
