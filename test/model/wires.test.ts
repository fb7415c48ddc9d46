// Random sequences of what happens to wires between three nodes that share a folder as their store,
// on the model and on the real kernel.

import { describe, it } from 'mocha'

import { leavesNothing } from '../nothing-left.ts'
import { checkSequences, readSequences } from './check-sequences.ts'
import { newFileLab } from './file-lab.ts'
import { play } from './play.ts'
import { newSequences } from './sequence.ts'

const SEQUENCES = readSequences(12)

describe('model and kernel', function () {
  this.timeout(600_000)

  leavesNothing()

  it(`agree after each step of ${SEQUENCES.count} random sequences (L2W_SEED=${SEQUENCES.seed})`, async () => {
    const anySequence = newSequences({ canBeCutOff: false, canMigrate: true })
    await checkSequences({ make: newFileLab, anySequence, play }, SEQUENCES)
  })
})
