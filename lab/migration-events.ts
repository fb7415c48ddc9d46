// What QEMU tells of its guest's running, through libvirt, by QEMU's own clock.
import { startDaemon } from './daemon.ts'
import type { EmptyLauncher } from './launcher.ts'
import type { Pause } from './stream-log.ts'

export interface QemuEvent {
  /** "STOP", "RESUME", "MIGRATION". */
  readonly name: string
  /** Microseconds since 1970. */
  readonly at: number
  /** As JSON. */
  readonly details: string
}

export interface QemuEvents extends AsyncDisposable {
  readonly read: () => readonly QemuEvent[]
}

const LINE = /^event (\S+) at (\d+)\.(\d{6}) for domain '[^']*'(?:: (.*))?$/gm

/** In which a guest ran nowhere: from its last stop on, in whichever launcher, until it ran again. */
export function findPause(events: readonly QemuEvent[]): Pause | undefined {
  const inOrder = events.toSorted((one, other) => one.at - other.at)
  const stop = inOrder.findLast(({ name }) => name === 'STOP')
  const resume = inOrder.find(({ name, at }) => name === 'RESUME' && at > (stop?.at ?? Infinity))
  if (stop !== undefined && resume === undefined) throw new Error('The guest does not run again')
  return stop === undefined || resume === undefined ? undefined : { from: stop.at, to: resume.at }
}

/** Of any domain of the launcher's, from now on. */
export function watchQemu({ sandbox }: Pick<EmptyLauncher, 'sandbox'>): QemuEvents {
  const daemon = startDaemon(['virsh', '-c', sandbox.uri, 'qemu-monitor-event', '--loop'])
  return {
    read: () =>
      [...daemon.readLog().matchAll(LINE)].map(
        ([, name = '', seconds = '', microseconds = '', details = '']) => ({
          name,
          at: Number(seconds) * 1_000_000 + Number(microseconds),
          details,
        }),
      ),
    [Symbol.asyncDispose]: async () => daemon.end('SIGKILL'),
  }
}
