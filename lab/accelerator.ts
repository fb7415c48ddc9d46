// Whether this machine's /dev/kvm really runs our guest. Some machines accept the ioctls and then hang the
// guest in its firmware, so only a boot of the guest's own image tells.
import { spawn } from 'node:child_process'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { constants } from 'node:fs'
import path from 'node:path'

import { ensureGuestImage, type GuestImage } from './guest-image.ts'
import { LAB_DIRECTORY } from './lab-directory.ts'

/** libvirt's domain types; "qemu" is emulation (TCG). */
export type Accelerator = 'kvm' | 'qemu'

/** The text that guest-init.sh prints on the console. */
const READY = 'l2wire: guest ready'
/** Under KVM the image boots in less than a second. */
const TRIAL_MS = 4000

let chosen: Promise<Accelerator> | undefined

/** Tried once per process, and once per boot of the machine. */
export async function chooseAccelerator(): Promise<Accelerator> {
  chosen ??= tryKvm()
  return chosen
}

async function tryKvm(): Promise<Accelerator> {
  const openable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  if (!openable) return 'qemu'
  const image = await ensureGuestImage()
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
  const memory = path.join(LAB_DIRECTORY, `accelerator-${bootId.trim()}`)
  const remembered = await readFile(memory, 'utf8').catch(() => '')
  if (remembered === 'kvm' || remembered === 'qemu') return remembered
  const accelerator = (await bootsUnderKvm(image)) ? 'kvm' : 'qemu'
  await mkdir(LAB_DIRECTORY, { recursive: true })
  await writeFile(memory, accelerator)
  return accelerator
}

async function bootsUnderKvm(image: GuestImage): Promise<boolean> {
  const machine = ['-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', '128', '-no-reboot']
  const devices = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
  const boot = ['-kernel', image.kernel, '-initrd', image.initrd, '-append', 'console=ttyS0']
  const command = ['qemu-system-x86_64', ...machine, ...devices, ...boot]
  const qemu = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: TRIAL_MS,
    killSignal: 'SIGKILL',
  })
  return new Promise((resolve, reject) => {
    let said = ''
    qemu.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1')
      if (said.includes(READY)) qemu.kill('SIGKILL')
    })
    qemu.on('error', reject)
    qemu.on('close', () => resolve(said.includes(READY)))
  })
}
