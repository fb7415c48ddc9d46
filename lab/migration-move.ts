// A whole migration under a stream: the making of the pod that the VM is to move to, the move, and the end of the
// pod that is no longer needed.
import {
  COMPLETED,
  FRAMES_PER_SECOND,
  type LauncherPod,
  type Migration,
  type MigrationLab,
  type MigrationReport,
  type Place,
} from './migration.ts'

/** Frames between one step and the next: long enough for what goes wrong at any of them to show. */
export const A_WHILE = 2 * FRAMES_PER_SECOND
/** What says of an ADD without a cluster that its pod is a migration's target. */
const STANDBY = { standby: true }
/** Takes a minute, so that it can be stopped on the way. */
const SLOW = { mibPerSecond: 1 }

/** Throws when the VM does not move. */
export async function moveVm(lab: MigrationLab, place: Place): Promise<MigrationReport> {
  const stream = await lab.startStream()
  const left = lab.getPod()
  const target = await lab.newTarget({ place, more: STANDBY })
  await stream.waitForFrames(A_WHILE)
  const { ended } = await lab.migrate(target)
  const said = await ended
  if (said !== COMPLETED) throw new Error(`The VM does not move: ${said}`)
  await stream.waitForFrames(A_WHILE)
  await left[Symbol.asyncDispose]()
  await stream.waitForFrames(A_WHILE)
  return stream.readReport()
}

/** stop is called in the middle of it; the answer has what libvirt said in the end. */
export async function moveVmInVain(
  lab: MigrationLab,
  stop: (migration: Migration, target: LauncherPod) => Promise<void>,
): Promise<{ readonly report: MigrationReport; readonly said: string }> {
  const stream = await lab.startStream()
  const target = await lab.newTarget({ more: STANDBY })
  await stream.waitForFrames(A_WHILE)
  const migration = await lab.migrate(target, SLOW)
  await migration.waitForTransfer()
  await stream.waitForFrames(A_WHILE)
  await stop(migration, target)
  const said = await migration.ended
  await stream.waitForFrames(A_WHILE)
  await target[Symbol.asyncDispose]()
  await stream.waitForFrames(A_WHILE)
  return { report: await stream.readReport(), said }
}
