// The guest as QEMU boots it: a kernel and an initramfs with busybox, tcpdump, tcpreplay and what a VM
// asks for. Made below .lab/ under a name that says what went in, so it is rebuilt when that changes.
import { createHash } from 'node:crypto'
import { chmod, cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { run } from '../kernel/run.ts'
import { ensureGuestKernel, type KernelFlavour } from './guest-kernel.ts'
import {
  DEBIAN_SHELL,
  findGuestFiles,
  getGuestPackage,
  GUEST_GROUP,
  GUEST_PASSWD,
  type GuestFiles,
} from './guest-packages.ts'
import { ensureDirectory, LAB_DIRECTORY } from './lab-directory.ts'

const INIT_SCRIPT = fileURLToPath(new URL('guest-init.sh', import.meta.url))
const PROGRAMS = ['/usr/bin/tcpdump', '/usr/bin/tcpreplay'] as const
const BUSYBOX = '/bin/busybox'

export interface GuestImage {
  readonly kernel: string
  readonly initrd: string
}

/** The image with these Debian packages in it, made if it is not there. */
export async function ensureGuestImage(
  flavour: KernelFlavour = 'small',
  packages: readonly string[] = [],
): Promise<GuestImage> {
  const kernel = await ensureGuestKernel(flavour)
  const files = new Map([...(await findPrograms()), ...(await findGuestFiles(packages))])
  const folders = packages.flatMap((name) => getGuestPackage(name).folders ?? [])
  const inputs = [fileURLToPath(import.meta.url), INIT_SCRIPT, ...files.values()]
  const digest = createHash('sha256').update(kernel)
  for (const file of inputs) digest.update(file).update(await readFile(file))
  const image = path.join(LAB_DIRECTORY, `guest-${digest.digest('hex').slice(0, 16)}`)
  await ensureDirectory(image, (directory) => buildInitrd(kernel, files, folders, directory))
  return { kernel: path.join(kernel, 'vmlinuz'), initrd: path.join(image, 'initrd') }
}

/** The programs and the libraries that the dynamic linker wants for them. */
async function findPrograms(): Promise<GuestFiles> {
  const files = new Set<string>([BUSYBOX, ...PROGRAMS])
  for (const program of PROGRAMS) {
    const linked = await run(['ldd', program])
    for (const match of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)) files.add(match[1] ?? '')
  }
  return new Map([...files].map((file) => [file, file]))
}

async function buildInitrd(
  kernel: string,
  files: GuestFiles,
  folders: readonly string[],
  directory: string,
): Promise<void> {
  const root = path.join(directory, 'root')
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'var', ...folders]) {
    await mkdir(path.join(root, folder), { recursive: true })
  }
  for (const [file, source] of files) {
    const target = path.join(root, file)
    await mkdir(path.dirname(target), { recursive: true })
    await cp(source, target, { dereference: true })
  }
  await symlink('../run', path.join(root, 'var/run'))
  // Where packages name it, and where the machine's own is: programs lie below usr.
  await mkdir(path.join(root, 'usr/sbin'), { recursive: true })
  await symlink('usr/sbin', path.join(root, 'sbin'))
  const applets = await run([BUSYBOX, '--list'])
  for (const applet of applets.trim().split('\n')) {
    if (applet === 'busybox') continue
    await symlink(findProgram(applet, files), path.join(root, 'bin', applet))
  }
  await cp(path.join(kernel, 'modules'), path.join(root, 'modules'), { recursive: true })
  // tcpdump looks up whoever it is to run as, and so do daemons.
  await writeFile(path.join(root, 'etc/passwd'), `${GUEST_PASSWD.join('\n')}\n`)
  await writeFile(path.join(root, 'etc/group'), `${GUEST_GROUP.join('\n')}\n`)
  // Scripts of Debian's look here whether the root may be written.
  await writeFile(path.join(root, 'etc/fstab'), '')
  await cp(INIT_SCRIPT, path.join(root, 'init'))
  await chmod(path.join(root, 'init'), 0o755)
  // Not compressed: unpacking costs more under emulation than loading does.
  const archive = 'cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 -F ../initrd'
  await run(['sh', '-c', archive, 'sh', root])
  await rm(root, { recursive: true })
}

/** Debian's own before busybox's, in "bin" too: whoever looks there first would find the other. */
function findProgram(name: string, files: GuestFiles): string {
  const own = name === 'sh' ? [DEBIAN_SHELL] : [`/usr/bin/${name}`, `/usr/sbin/${name}`]
  const found = own.find((file) => files.has(file))
  return found === undefined ? 'busybox' : `..${found}`
}
