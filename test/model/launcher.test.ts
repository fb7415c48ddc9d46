// What somebody changes in a launcher, each thing once and then several at random: what its ADD made comes back.
import { describe, it } from 'mocha'

import { leavesNothing } from '../nothing-left.ts'
import { checkSequences, readSequences } from './check-sequences.ts'
import {
  LAUNCHER_KINDS,
  listEachChange,
  newLauncherLab,
  newLauncherSequences,
  playInLauncher,
} from './launcher.ts'

const SEQUENCES = readSequences(2)

for (const kind of LAUNCHER_KINDS)
  describe(`what somebody changes in the launcher of a VM by ${kind.attach} on ${kind.on}`, function () {
    this.timeout(600_000)
    leavesNothing()

    it('comes back', async () => {
      await using lab = await newLauncherLab(kind)
      await playInLauncher(lab, listEachChange(kind))
    })

    it(`comes back in each of ${SEQUENCES.count} random sequences (L2W_SEED=${SEQUENCES.seed})`, async () => {
      const make = async (): ReturnType<typeof newLauncherLab> => newLauncherLab(kind)
      const anySequence = newLauncherSequences(kind)
      await checkSequences({ make, anySequence, play: playInLauncher }, SEQUENCES)
    })
  })
