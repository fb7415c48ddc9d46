// Ends that migrate, and whatever else may happen meanwhile.
import { describe, it } from 'mocha'

import { leavesNothing } from '../nothing-left.ts'
import { checkSequences, readSequences } from './check-sequences.ts'
import { newFileLab } from './file-lab.ts'
import { play } from './play.ts'
import { newMigrations } from './sequence.ts'

const SEQUENCES = readSequences(8)

describe('ends that migrate, as the model has it', function () {
  this.timeout(900_000)
  leavesNothing()

  it(`in ${SEQUENCES.count} random sequences (L2W_SEED=${SEQUENCES.seed})`, async () => {
    await checkSequences({ make: newFileLab, anySequence: newMigrations(), play }, SEQUENCES)
  })
})
