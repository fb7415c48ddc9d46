// The guest's kernel, taken from Debian's package without installing it, and the modules that a VM of the lab
// needs.
import { createHash } from 'node:crypto'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { CommandError, NotSupportedError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import { ensureDirectory, LAB_DIRECTORY } from './lab-directory.ts'

const MODULES = [
  'virtio_pci',
  'virtio_console',
  'virtio_net',
  'af_packet',
  '8021q',
  // The other NIC models that KubeVirt admits.
  'e1000',
  'e1000e',
  'igb',
  '8139cp',
  'pcnet32',
  'ne2k-pci',
] as const

/** For a guest that is a node (node-vm.ts). No other guest loads them. */
const NODE_MODULES = [
  '9p',
  '9pnet_virtio',
  'veth',
  'tun',
  'sch_ingress',
  'act_mirred',
  'cls_matchall',
  'cls_bpf',
  'cls_u32',
  'nf_tables',
  // For a cluster's machines: their roots, and the bridge of their cables.
  'overlay',
  'bridge',
] as const

/** The small kernel boots in half the time. The whole one also has drivers for emulated NICs. */
const KERNELS = {
  small: { metapackage: 'linux-image-cloud-amd64', node: [] },
  whole: { metapackage: 'linux-image-amd64', node: NODE_MODULES },
} as const
export type KernelFlavour = keyof typeof KERNELS

const DEPENDENCY = /Depends: (linux-image-\S+)/
const DOWNLOAD_MS = 300_000

/**
 * A directory with "vmlinuz", "modules/*.ko" and "modules/order", the module names in load order.
 * "modules/node-order" lists the modules that a node loads after these. A query to apt takes a second, so it
 * happens once: delete the directory to get a newer kernel.
 */
export async function ensureGuestKernel(flavour: KernelFlavour): Promise<string> {
  const { node } = KERNELS[flavour]
  const digest = createHash('sha256')
    .update([...MODULES, ...node].join(' '))
    .digest('hex')
  const target = path.join(LAB_DIRECTORY, `kernel-${flavour}-${digest.slice(0, 8)}`)
  await ensureDirectory(target, (directory) => extractKernel(flavour, directory))
  return target
}

async function extractKernel(flavour: KernelFlavour, directory: string): Promise<void> {
  const tree = path.join(directory, 'tree')
  await mkdir(tree)
  const { metapackage, node } = KERNELS[flavour]
  await downloadKernel(metapackage, tree)
  const listed = await run(['ls', path.join(tree, 'lib/modules')])
  const release = listed.trim()
  await run(['depmod', '-b', tree, release])
  const modules = await findModules(tree, release, MODULES)
  const more = (await findModules(tree, release, node)).filter((one) => !modules.includes(one))
  await mkdir(path.join(directory, 'modules'))
  for (const module of [...modules, ...more])
    await cp(module, path.join(directory, 'modules', path.basename(module)))
  for (const [order, files] of [
    ['order', modules],
    ['node-order', more],
  ] as const) {
    const lines = files.map((module) => `${path.basename(module)}\n`).join('')
    await writeFile(path.join(directory, 'modules', order), lines)
  }
  await cp(path.join(tree, 'boot', `vmlinuz-${release}`), path.join(directory, 'vmlinuz'))
  await rm(tree, { recursive: true })
}

async function downloadKernel(metapackage: string, directory: string): Promise<void> {
  // apt-get downloads only into its working directory, and would do so as user "_apt".
  const script =
    'cd "$1" && apt-get -o APT::Sandbox::User=root -qq download "$2" && dpkg -x ./*.deb . && rm ./*.deb'
  const download = async (name: string): Promise<string> =>
    run(['sh', '-c', script, 'sh', directory, name], { timeoutMs: DOWNLOAD_MS })
  try {
    await download(await findKernelPackage(metapackage))
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof NotSupportedError)) throw error
    // There is no list of packages, or it names a version that the mirror no longer has.
    await run(['apt-get', '-qq', 'update'], { timeoutMs: DOWNLOAD_MS })
    await download(await findKernelPackage(metapackage))
  }
}

/** The current package behind the metapackage. */
async function findKernelPackage(metapackage: string): Promise<string> {
  const shown = await run(['apt-cache', 'depends', '--important', metapackage])
  const name = DEPENDENCY.exec(shown)?.[1]
  if (name !== undefined) return name
  throw new NotSupportedError(`Cannot find the Debian package behind "${metapackage}"`)
}

/** In load order, without modules that are built into the kernel or do not exist for it. */
async function findModules(
  tree: string,
  release: string,
  wanted: readonly string[],
): Promise<readonly string[]> {
  const files = new Set<string>()
  for (const module of wanted) {
    const query = ['modprobe', '-d', tree, '-S', release, '--show-depends', module]
    const shown = await run(query).catch((error: unknown) => {
      // The small kernel has no drivers for emulated hardware.
      if (error instanceof CommandError && /Module \S+ not found/.test(error.stderr)) return ''
      throw error
    })
    for (const match of shown.matchAll(/^insmod (\S+)/gm)) files.add(match[1] ?? '')
  }
  return [...files]
}
