// The same reader for every attachment: tap-reader.pl between what a VM would open in its pod and a
// plain tap in a namespace of its own, whose stack is the guest's.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

import type { LabNetns } from '../lab/netns.ts'
import { NIC } from './path.ts'

/** What is opened: a tap by its name in the pod, or a macvtap's character device. */
export type Opened = { readonly tap: string } | { readonly path: string }

/** The guest's NIC, with this MAC, as long as the reader runs. */
export async function startTapReader(
  pod: LabNetns,
  opened: Opened,
  guest: LabNetns,
  mac: string,
): Promise<AsyncDisposable> {
  await guest.run(['ip', 'tuntap', 'add', 'dev', NIC, 'mode', 'tap'])
  await guest.run(['ip', 'link', 'set', 'dev', NIC, 'address', mac])
  await guest.run(['tc', 'qdisc', 'replace', 'dev', NIC, 'root', 'noqueue'])
  const [path, device] = 'tap' in opened ? ['/dev/net/tun', opened.tap] : [opened.path, '-']
  // A tap belongs to the namespace that /dev/net/tun was opened in.
  const openBoth = `exec 3<>"$1" && shift && exec nsenter --net="$1" sh -c 'exec 4<>/dev/net/tun && exec "$@"' sh "$2" "$3" "$4" "$5"`
  const script = join(import.meta.dirname, 'tap-reader.pl')
  const argv = ['--pdeathsig', 'KILL', 'nsenter', `--net=${pod.path}`, 'sh', '-c', openBoth, 'sh']
  const child = spawn('setpriv', [...argv, path, guest.path, 'perl', script, device, NIC], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const said = await Promise.race([once(child.stdout, 'data'), ended.then(() => [])])
  if (said.length === 0) throw new Error(`Cannot read "${device}": the reader has ended`)
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
