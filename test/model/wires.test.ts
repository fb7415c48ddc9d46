// Random sequences of what happens to wires between three nodes that share a folder as their store,
// on the model and on the real kernel.

import { describe, it } from 'mocha'

import { newLabCluster } from '../../lab/cluster.ts'
import { newFileStore } from '../../store/file-store.ts'
import { leavesNothing } from '../nothing-left.ts'
import { checkSequences, readSequences } from './check-sequences.ts'
import { newModelLab, type ModelLab } from './lab.ts'
import { play } from './play.ts'
import { newSequences } from './sequence.ts'
import { NODES } from './world.ts'

const SEQUENCES = readSequences(12)

async function newFileLab(): Promise<ModelLab> {
  await using made = new AsyncDisposableStack()
  const cluster = made.use(await newLabCluster({ count: NODES.length }))
  const store = newFileStore(cluster.storeFolder)
  const lab = made.use(newModelLab({ cluster, store, namespace: 'model', restMs: 60_000 }))
  const resources = made.move()
  return { ...lab, [Symbol.asyncDispose]: async () => resources.disposeAsync() }
}

describe('model and kernel', function () {
  this.timeout(600_000)

  leavesNothing()

  it(`agree after each step of ${SEQUENCES.count} random sequences (L2W_SEED=${SEQUENCES.seed})`, async () => {
    const anySequence = newSequences({ canBeCutOff: false, canMigrate: true })
    await checkSequences({ make: newFileLab, anySequence, play }, SEQUENCES)
  })
})
