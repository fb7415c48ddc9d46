// The demo's migration: a VM moves between two nodes while a numbered stream runs between its guest and a third node,
// and a second migration is cancelled on its way.
import type { Say } from './demo-scene.ts'
import { COMPLETED, FRAMES_PER_SECOND, newMigrationLab, type MigrationReport } from './migration.ts'
import { moveVm, moveVmInVain } from './migration-move.ts'
import { newWireShape } from './migration-shape.ts'

/** Whether the guest's own frames all arrived, nothing was doubled, and the cancelled migration cost nothing. */
export async function showMigration(say: Say): Promise<boolean> {
  await using lab = await newMigrationLab({
    farPlace: 'third',
    newShape: async () => newWireShape(),
  })
  say(
    `VM r1 on node n1 and pod far on node n3 send each other ${FRAMES_PER_SECOND} numbered frames a second, over a wire.`,
  )
  const moved = await moveVm(lab, 'target')
  say(
    `r1 was migrated to node n2 by "virsh migrate --live". Its guest ran nowhere for ${moved.pauseMs.toFixed(0)} ms.`,
  )
  show(say, moved)
  const { report: kept, said } = await moveVmInVain(lab, async (migration) => migration.cancel())
  say('A second migration was cancelled while memory was under way.')
  show(say, kept)
  const isKept = said !== COMPLETED && kept.toGuest.lost === 0
  return isKept && [moved, kept].every(isWhole)
}

function show(say: Say, { toGuest, fromGuest }: MigrationReport): void {
  const { sent, lost, lostBefore, lostAfter, doubled } = toGuest
  say(
    `  from the guest ${fromGuest.sent} frames, ${fromGuest.lost} lost, ${fromGuest.doubled} doubled`,
  )
  say(
    `  to the guest ${sent} frames, ${lost - lostBefore - lostAfter} lost while it ran nowhere, ${lostBefore} before, ${lostAfter} after, ${doubled} doubled`,
  )
}

function isWhole({ toGuest, fromGuest }: MigrationReport): boolean {
  const faults = [toGuest, fromGuest].flatMap(({ doubled, reordered }) => [doubled, reordered])
  return fromGuest.lost === 0 && faults.every((count) => count === 0)
}
