// A node whose kernel has boot options that no namespace can set: the lab's guest, without a NIC, that runs
// this machine's own files. It can read them all. Its writes stay its own, and disappear with it.
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { chooseAccelerator } from './accelerator.ts'
import { startDaemon } from './daemon.ts'
import { connectGuest, GUEST_PORT_NAME } from './guest.ts'
import { ensureGuestImage } from './guest-image.ts'
import { ROOT } from './manifests.ts'
import { newTemporaryFolder } from './temporary-folder.ts'

export interface NodeVm extends AsyncDisposable {
  /**
   * Runs a script by bash, among this machine's files. Throws if it ends late or with another exit code than 0.
   */
  readonly run: (script: string, timeoutMs?: number) => Promise<string>
}

const LISTENING_MS = 60_000
const BOOTED_MS = 300_000
const COMMAND_MS = 240_000
/** Enough for the agent and the plugins. */
const MEMORY_MIB = 640

const PREPARE = `set -e
while read -r module; do insmod "/modules/$module"; done </modules/node-order
mkdir /machine /node
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 node /machine
mount -o bind /machine /node
mount -t proc proc /node/proc
mount -t sysfs sysfs /node/sys
mount -t devtmpfs devtmpfs /node/dev
for folder in tmp run; do mount -t tmpfs tmpfs /node/$folder; done
mkdir -p /node/run/netns /node/run/lock
# The path of this project, in a folder that is now empty.
[ -e "/node${ROOT}" ] || { mkdir -p "/node${ROOT}"; mount -o bind "/machine${ROOT}" "/node${ROOT}"; }
# They become the root of the mount namespace, because whoever enters one is at its root, regardless of chroot.
mount -o move /node /
`
/** On the guest's own file system, which is below that now. */
const SCRIPT = '/tmp/node-script'
const RUN = `exec 3<${SCRIPT}; exec nsenter --mount=/proc/1/ns/mnt /bin/bash /proc/self/fd/3`

/** kernelOptions are in a boot loader's form. */
export async function newNodeVm(kernelOptions: string, memoryMib = MEMORY_MIB): Promise<NodeVm> {
  await using started = new AsyncDisposableStack()
  const folder = started.use(await newTemporaryFolder('node-vm'))
  const socket = join(folder.path, 'guest')
  const accelerator = (await chooseAccelerator()) === 'kvm' ? 'kvm' : 'tcg'
  const image = await ensureGuestImage('whole')
  const words =
    `qemu-system-x86_64 -machine q35,accel=${accelerator} -cpu max -m ${memoryMib} -nodefaults ` +
    `-no-reboot -display none -serial stdio -kernel ${image.kernel} -initrd ${image.initrd} ` +
    '-virtfs local,path=/,mount_tag=node,security_model=none,readonly=on,multidevs=remap ' +
    `-device virtio-serial -chardev socket,id=shell,path=${socket},server=on,wait=off ` +
    `-device virtserialport,chardev=shell,name=${GUEST_PORT_NAME}`
  const qemu = startDaemon([...words.split(' '), '-append', `console=ttyS0 ${kernelOptions}`])
  started.defer(async () => qemu.end('SIGKILL'))
  const deadline = Date.now() + LISTENING_MS
  // QEMU listens before it starts the machine.
  while (!(await isThere(socket))) {
    qemu.expectAlive()
    if (Date.now() > deadline) throw new Error(`QEMU does not listen: ${qemu.readLog()}`)
    await sleep(20)
  }
  const guest = started.use(await connectGuest(socket, { timeoutMs: BOOTED_MS }))
  await guest.run(PREPARE, { timeoutMs: COMMAND_MS })
  const resources = started.move()
  return {
    run: async (script, timeoutMs = COMMAND_MS) => {
      await guest.put(SCRIPT, Buffer.from(script))
      return guest.run(RUN, { timeoutMs })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
