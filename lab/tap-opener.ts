// Opens a launcher's tap where there is no guest: QEMU without a machine, whose hub joins the tap to one of the
// lab's. That one moves to a client's namespace. So all frames that are sent there come from the VM's NIC.
import { setTimeout as sleep } from 'node:timers/promises'

import { startDaemon } from './daemon.ts'
import type { LabNetns } from './netns.ts'

/** In the guest's namespace. */
export const GUEST_NIC = 'nic0'
const OPENED_MS = 60_000

/** mac is the NIC's. Dispose it before the namespaces. */
export async function openTap(
  launcher: LabNetns,
  tap: string,
  guest: LabNetns,
  mac: string,
): Promise<AsyncDisposable> {
  const other = 'l2wguest'
  const options = `-machine none -nodefaults -display none ${plugIn('vm', tap)} ${plugIn('lab', other)}`
  const enter = ['nsenter', `--net=${launcher.path}`]
  const qemu = startDaemon([...enter, 'qemu-system-x86_64', ...options.split(' ')])
  try {
    const deadline = Date.now() + OPENED_MS
    while (!(await launcher.run(['ip', '-br', 'link', 'show'])).includes(other)) {
      qemu.expectAlive()
      if (Date.now() > deadline) throw new Error(`QEMU did not open "${tap}": ${qemu.readLog()}`)
      await sleep(20)
    }
    await launcher.run(['ip', 'link', 'set', 'dev', other, 'netns', guest.path, 'name', GUEST_NIC])
    await guest.run(['ip', 'link', 'set', 'dev', GUEST_NIC, 'address', mac])
    await guest.run(['ip', 'link', 'set', 'dev', GUEST_NIC, 'up'])
  } catch (error) {
    await qemu.end('SIGKILL')
    throw error
  }
  return { [Symbol.asyncDispose]: async () => qemu.end('SIGKILL') }
}

// Into the hub.
function plugIn(id: string, ifname: string): string {
  return (
    `-netdev tap,id=${id},ifname=${ifname},script=no,downscript=no ` +
    `-netdev hubport,id=port-${id},hubid=0,netdev=${id}`
  )
}
