// KubeVirt's images, each as the layer over its Debian. KubeVirt's Bazel rules assemble them for a root of
// CentOS; this assembles them for Debian's.
import { join } from 'node:path'

import type { ImageStart } from './docker-archive.ts'
import type { Entry } from './entries.ts'
import type { KubevirtBuild } from './programs.ts'

export interface KubevirtImage {
  /** Without repository and tag. */
  readonly name: string
  /** The root below; "libraries" means the libraries of the machine that built the programs, and no Debian. */
  readonly base: 'launcher' | 'handler' | 'libraries'
  readonly start: ImageStart
  readonly entries: readonly Entry[]
}

/** The user as which libvirt runs QEMU, everywhere in KubeVirt. */
const QEMU = 107
const NON_ROOT = 1001
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** One program each, which needs only its libraries from a system. */
const ALONE: Readonly<Record<string, readonly string[]>> = {
  'virt-operator': ['csv-generator'],
  'virt-api': [],
  'virt-controller': [],
  'virt-exportproxy': [],
  'virt-synchronization-controller': [],
}

const LAUNCHER_PROGRAMS = [
  'virt-launcher',
  'virt-freezer',
  'virt-probe',
  'virt-tail',
  'container-disk',
  // Since 1.8.
  'libvirt-hook-client',
]

// Debian has no virtqemud. Its libvirtd serves QEMU as well, under another socket's name.
const VIRTQEMUD = `#!/bin/sh
mkdir -p /run/libvirt
ln -sfn libvirt-sock /run/libvirt/virtqemud-sock
exec /usr/sbin/libvirtd "$@"
`

export function toImageName(build: KubevirtBuild, name: string): string {
  return `quay.io/kubevirt/${name}:v${build.version}`
}

/** Files of virt-launcher's image that are in its source. */
export interface LauncherSource {
  /** The text of node-labeller.sh. */
  readonly labeller: string
  /** The user of the image: "107", or none up to KubeVirt 1.7. */
  readonly user: string | undefined
}

/** Those for which the build has the programs. */
export function planKubevirtImages(
  build: KubevirtBuild,
  source: LauncherSource,
): readonly KubevirtImage[] {
  const alone = Object.entries(ALONE).map(([name, more]) => planAlone(build, name, more))
  const all = [...alone, planHandler(build), planLauncher(build, source)]
  return all.filter(({ name }) => build.programs.includes(name))
}

function planAlone(build: KubevirtBuild, name: string, more: readonly string[]): KubevirtImage {
  const users = ['root:x:0:0::/:/bin/false', `nonroot-user:x:${NON_ROOT}:${NON_ROOT}::/:/bin/false`]
  return {
    name,
    base: 'libraries',
    start: toStart(name, String(NON_ROOT)),
    entries: [
      ...[name, ...more].flatMap((program) => toProgram(build, program)),
      toText('etc/passwd', users),
      toConfig(build, 'nsswitch.conf', 'etc'),
      { path: 'etc/ssl/certs', of: 'folder' },
      { path: 'tmp', of: 'folder', mode: 0o1777 },
    ],
  }
}

function planHandler(build: KubevirtBuild): KubevirtImage {
  return {
    name: 'virt-handler',
    base: 'handler',
    start: toStart('virt-handler'),
    entries: [
      ...['virt-handler', 'virt-chroot'].flatMap((program) => toProgram(build, program)),
      toText('etc/passwd', ['root:x:0:0:root:/root:/bin/bash', toUser('qemu', QEMU, '/')]),
      toText('etc/group', ['root:x:0:', `qemu:x:${QEMU}:`]),
      toConfig(build, 'nsswitch.conf', 'etc'),
    ],
  }
}

function planLauncher(build: KubevirtBuild, { labeller, user }: LauncherSource): KubevirtImage {
  const [monitor] = toProgram(build, 'virt-launcher-monitor')
  return {
    name: 'virt-launcher',
    base: 'launcher',
    start: toStart('virt-launcher', user),
    entries: [
      ...LAUNCHER_PROGRAMS.flatMap((program) => toProgram(build, program)),
      // It passes the capability on to QEMU's helpers for a VM on the pod network.
      ...(monitor === undefined ? [] : [{ ...monitor, capabilities: 'cap_net_bind_service=+ep' }]),
      { path: 'usr/bin/node-labeller.sh', of: { text: withoutKvm(labeller) } },
      { path: 'usr/sbin/virtqemud', of: { text: VIRTQEMUD } },
      // virtqemud reads them as user 107.
      ...['qemu.conf', 'virtqemud.conf'].map((name) => toConfig(build, name, 'etc/libvirt')),
      toConfig(build, 'nsswitch.conf', 'etc'),
      // libvirt requires the groups of Debian's users. The domain runs as KubeVirt's.
      toText('etc/passwd', [
        'root:x:0:0:root:/root:/bin/bash',
        toUser('qemu', QEMU, '/home/qemu'),
        'libvirt-qemu:x:64055:109::/:/bin/false',
      ]),
      toText('etc/group', [
        'root:x:0:',
        'tty:x:5:',
        `qemu:x:${QEMU}:`,
        'libvirt:x:108:',
        'kvm:x:109:',
        'libvirt-qemu:x:64055:',
      ]),
      // virt-launcher, which is user 107, puts the hook's neighbours beside it.
      { path: 'etc/libvirt/hooks', of: 'folder', owner: QEMU },
      {
        path: 'etc/libvirt/hooks/qemu',
        of: { file: toSource(build, 'qemu') },
        owner: QEMU,
      },
      { path: 'home/qemu', of: 'folder', owner: QEMU },
      { path: 'init/usr/bin', of: 'folder' },
      // A root without logs lacks it, and then libvirtd does not start as a daemon of root's.
      { path: 'var/log/libvirt', of: 'folder' },
      { path: 'var/lib/kubevirt-node-labeller', of: 'folder' },
      // Debian's link leads to /run. For a reader outside the root that is the node's own.
      { path: 'var/run', of: { link: '../run' } },
    ],
  }
}

/** The script makes /dev/kvm from the kernel's list. Here the device exists and runs no guest. */
export function withoutKvm(labeller: string): string {
  const found = /^(\w+_MINOR)=\$\(grep .*$/m
  if (!found.test(labeller))
    throw new Error(
      `Cannot take KVM out of node-labeller.sh: no line like KVM_MINOR=$(grep …) in "${labeller.slice(0, 200)}"`,
    )
  return labeller.replace(found, '$1=')
}

/** None if this version has no such program. */
function toProgram(build: KubevirtBuild, name: string): readonly Entry[] {
  if (!build.programs.includes(name)) return []
  return [{ path: `usr/bin/${name}`, of: { file: join(build.folder, name) } }]
}

function toConfig(build: KubevirtBuild, name: string, folder: string): Entry {
  return { path: `${folder}/${name}`, of: { file: toSource(build, name) }, mode: 0o644 }
}

function toSource(build: KubevirtBuild, name: string): string {
  return join(build.source, 'cmd/virt-launcher', name)
}

function toText(path: string, lines: readonly string[]): Entry {
  return { path, of: { text: `${lines.join('\n')}\n` }, mode: 0o644 }
}

function toUser(name: string, id: number, home: string): string {
  return `${name}:x:${id}:${id}::${home}:/bin/bash`
}

function toStart(program: string, user?: string): ImageStart {
  const entrypoint = [`/usr/bin/${program}`]
  return { entrypoint, env: { PATH }, ...(user === undefined ? {} : { user }) }
}
