// The guest as QEMU boots it: a kernel and an initramfs with busybox, tcpdump, tcpreplay and the packages that
// a VM asks for. Its name below .lab/ lists its contents, so a change rebuilds it.
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
  type GuestPackage,
} from './guest-packages.ts'
import { ensureDirectory, LAB_DIRECTORY } from './lab-directory.ts'

const INIT_SCRIPT = fileURLToPath(new URL('guest-init.sh', import.meta.url))
const PROGRAMS = ['/usr/bin/tcpdump', '/usr/bin/tcpreplay'] as const
const BUSYBOX = '/bin/busybox'

export interface GuestImage {
  readonly kernel: string
  readonly initrd: string
}

/** The differences of a guest from the lab's own. */
export interface GuestKind {
  readonly packages: readonly GuestPackage[]
  /** By their paths in the guest. */
  readonly files: GuestFiles
  /** Its PID 1. */
  readonly init: string
}

/** The lab's image with these Debian packages. Made if needed. */
export async function ensureGuestImage(
  flavour: KernelFlavour = 'small',
  packages: readonly string[] = [],
): Promise<GuestImage> {
  const kind = { packages: packages.map(getGuestPackage), files: new Map(), init: INIT_SCRIPT }
  return ensureGuestOfKind(flavour, kind)
}

export async function ensureGuestOfKind(
  flavour: KernelFlavour,
  { packages, files: own, init }: GuestKind,
): Promise<GuestImage> {
  const kernel = await ensureGuestKernel(flavour)
  const files = new Map([...(await findPrograms()), ...(await findGuestFiles(packages)), ...own])
  const folders = packages.flatMap((one) => one.folders ?? [])
  const inputs = [fileURLToPath(import.meta.url), init, ...files.values()]
  const digest = createHash('sha256').update([kernel, ...files.keys(), ...folders].join(' '))
  for (const file of inputs) digest.update(file).update(await readFile(file))
  const image = path.join(LAB_DIRECTORY, `guest-${digest.digest('hex').slice(0, 16)}`)
  await ensureDirectory(image, (directory) => buildInitrd(kernel, files, folders, init, directory))
  return { kernel: path.join(kernel, 'vmlinuz'), initrd: path.join(image, 'initrd') }
}

/** The programs and the libraries that the dynamic linker loads for them. */
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
  init: string,
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
  // The paths that packages name, and the machine's own; programs are below usr.
  await mkdir(path.join(root, 'usr/sbin'), { recursive: true })
  await symlink('usr/sbin', path.join(root, 'sbin'))
  const applets = await run([BUSYBOX, '--list'])
  for (const applet of applets.trim().split('\n')) {
    if (applet === 'busybox') continue
    await symlink(findProgram(applet, files), path.join(root, 'bin', applet))
  }
  await cp(path.join(kernel, 'modules'), path.join(root, 'modules'), { recursive: true })
  // tcpdump and daemons look up the user that they run as.
  await writeFile(path.join(root, 'etc/passwd'), `${GUEST_PASSWD.join('\n')}\n`)
  await writeFile(path.join(root, 'etc/group'), `${GUEST_GROUP.join('\n')}\n`)
  // Debian's scripts check here whether the root is writable.
  await writeFile(path.join(root, 'etc/fstab'), '')
  await cp(init, path.join(root, 'init'))
  await chmod(path.join(root, 'init'), 0o755)
  // Not compressed, because unpacking costs more under emulation than loading.
  const archive = 'cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 -F ../initrd'
  await run(['sh', '-c', archive, 'sh', root])
  await rm(root, { recursive: true })
}

/** Debian's programs must come before busybox's, in "bin" too, because some callers look there first. */
function findProgram(name: string, files: GuestFiles): string {
  const own = name === 'sh' ? [DEBIAN_SHELL] : [`/usr/bin/${name}`, `/usr/sbin/${name}`]
  const found = own.find((file) => files.has(file))
  return found === undefined ? 'busybox' : `..${found}`
}
