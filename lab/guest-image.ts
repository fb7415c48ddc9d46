// The guest's kernel (Debian's cloud kernel, as packaged) and initramfs (busybox, tcpdump, tcpreplay).
// Both are made below .lab/, under names that say what went in, so they are rebuilt when that changes.
import { createHash } from 'node:crypto'
import {
  access,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import { CommandError, NotSupportedError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'

/** Where the lab keeps what is slow to make; git ignores it and it may be deleted at any time. */
export const LAB_DIRECTORY = fileURLToPath(new URL('../.lab', import.meta.url))

const INIT_SCRIPT = fileURLToPath(new URL('guest-init.sh', import.meta.url))
const KERNEL_METAPACKAGE = 'linux-image-cloud-amd64'
const DEPENDENCY = /Depends: (linux-image-\S+)/
const MODULES = [
  'virtio_pci',
  'virtio_console',
  'virtio_net',
  'e1000',
  'e1000e',
  'af_packet',
] as const
const PROGRAMS = ['/usr/bin/tcpdump', '/usr/bin/tcpreplay'] as const
const BUSYBOX = '/bin/busybox'

export interface GuestImage {
  readonly kernel: string
  readonly initrd: string
}

/** The image, made if it is not there. Two processes may ask at once: the first to finish wins. */
export async function ensureGuestImage(): Promise<GuestImage> {
  await mkdir(LAB_DIRECTORY, { recursive: true })
  // Asking apt takes a second, so it is asked once: delete the directory to get a newer kernel.
  const kernelTree = path.join(LAB_DIRECTORY, 'guest-kernel')
  await ensureDirectory(kernelTree, extractKernel)
  const release = await getKernelRelease(kernelTree)
  const contents = await findContents()
  const digest = createHash('sha256').update(release)
  for (const file of [INIT_SCRIPT, ...contents]) digest.update(file).update(await readFile(file))
  digest.update(await readFile(fileURLToPath(import.meta.url)))
  const image = path.join(LAB_DIRECTORY, `guest-${digest.digest('hex').slice(0, 16)}`)
  await ensureDirectory(image, (directory) =>
    buildImage({ kernelTree, release, contents, directory }),
  )
  return { kernel: path.join(image, 'vmlinuz'), initrd: path.join(image, 'initrd') }
}

/** Makes a directory appear whole or not at all. */
export async function ensureDirectory(
  target: string,
  fill: (directory: string) => Promise<void>,
): Promise<void> {
  if (await exists(target)) return
  const temporary = await mkdtemp(path.join(LAB_DIRECTORY, 'tmp-'))
  try {
    await fill(temporary)
    await rename(temporary, target)
  } catch (error) {
    // Another process was faster; what it made is the same.
    if (!(await exists(target))) throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

/** "linux-image-6.1.0-56-cloud-amd64=6.1.192-2": what the metapackage stands for today. */
async function findKernelPackage(): Promise<string> {
  const name = await findDependency()
  const shown = await run(['apt-cache', 'show', '--no-all-versions', name])
  const version = /^Version: (.+)$/m.exec(shown)?.[1]
  if (version === undefined) throw new NotSupportedError(`Cannot find Debian package "${name}"`)
  return `${name}=${version}`
}

async function findDependency(): Promise<string> {
  const query = ['apt-cache', 'depends', '--important', KERNEL_METAPACKAGE]
  const known = await run(query).catch((error: unknown) => {
    // apt's answer when the name is in no list.
    if (error instanceof CommandError && /No packages found/.test(error.stderr)) return ''
    throw error
  })
  const name = DEPENDENCY.exec(known)?.[1]
  if (name !== undefined) return name
  await run(['apt-get', 'update'], { timeoutMs: 120_000 })
  const fresh = DEPENDENCY.exec(await run(query))?.[1]
  if (fresh === undefined) {
    throw new NotSupportedError(`Cannot find Debian package "${KERNEL_METAPACKAGE}" for the guest`)
  }
  return fresh
}

async function extractKernel(directory: string): Promise<void> {
  const kernelPackage = await findKernelPackage()
  // apt-get downloads into its working directory only, and would do so as user "_apt".
  const script =
    'cd "$1" && apt-get -o APT::Sandbox::User=root -qq download "$2" && dpkg -x ./*.deb . && rm ./*.deb'
  await run(['sh', '-c', script, 'sh', directory, kernelPackage], { timeoutMs: 180_000 })
  await run(['depmod', '-b', directory, await getKernelRelease(directory)])
}

async function getKernelRelease(kernelTree: string): Promise<string> {
  const listed = await run(['ls', path.join(kernelTree, 'lib/modules')])
  return listed.trim()
}

/** The programs and the libraries that the dynamic linker wants for them. */
async function findContents(): Promise<readonly string[]> {
  const files = new Set<string>([BUSYBOX, ...PROGRAMS])
  for (const program of PROGRAMS) {
    const linked = await run(['ldd', program])
    for (const match of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g)) files.add(match[1] ?? '')
  }
  return [...files]
}

async function buildImage(input: {
  readonly kernelTree: string
  readonly release: string
  readonly contents: readonly string[]
  readonly directory: string
}): Promise<void> {
  const { kernelTree, release, directory } = input
  const root = path.join(directory, 'root')
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'modules']) {
    await mkdir(path.join(root, folder), { recursive: true })
  }
  for (const file of input.contents) {
    const target = path.join(root, file)
    await mkdir(path.dirname(target), { recursive: true })
    await cp(file, target, { dereference: true })
  }
  const applets = await run([BUSYBOX, '--list'])
  for (const applet of applets.trim().split('\n')) {
    if (applet !== 'busybox') await symlink('busybox', path.join(root, 'bin', applet))
  }
  const modules = await findModules(kernelTree, release)
  for (const module of modules) {
    await cp(module, path.join(root, 'modules', path.basename(module)))
  }
  const order = modules.map((module) => `${path.basename(module)}\n`).join('')
  await writeFile(path.join(root, 'modules/order'), order)
  // tcpdump looks up whoever it is to run as.
  await writeFile(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
  await cp(INIT_SCRIPT, path.join(root, 'init'))
  await run(['chmod', '755', path.join(root, 'init')])
  // Not compressed: unpacking costs more under emulation than loading does.
  const archive = 'cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 -F ../initrd'
  await run(['sh', '-c', archive, 'sh', root])
  await rm(root, { recursive: true })
  await cp(path.join(kernelTree, 'boot', `vmlinuz-${release}`), path.join(directory, 'vmlinuz'))
}

/** Module files in the order in which they can be loaded; those built into the kernel, or not made for it, are left out. */
async function findModules(kernelTree: string, release: string): Promise<readonly string[]> {
  const files = new Set<string>()
  for (const module of MODULES) {
    const query = ['modprobe', '-d', kernelTree, '-S', release, '--show-depends', module]
    const shown = await run(query).catch((error: unknown) => {
      // Debian's cloud kernel has no drivers for emulated hardware.
      if (error instanceof CommandError && /Module \S+ not found/.test(error.stderr)) return ''
      throw error
    })
    for (const match of shown.matchAll(/^insmod (\S+)/gm)) files.add(match[1] ?? '')
  }
  return [...files]
}
