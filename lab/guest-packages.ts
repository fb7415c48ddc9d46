// The files of a Debian package that a VM's cloud-init asks for, as they go into the guest's initramfs: the
// programs and their libraries.
import { run } from '../kernel/run.ts'
import { DAEMON_GROUPS, DAEMON_USERS, DHCP_CLIENTS, ensurePackages } from './debian-packages.ts'

export interface GuestPackage {
  readonly programs: readonly string[]
  /** Scripts and configuration from the package. A name that ends in a slash is a whole folder. */
  readonly files?: readonly string[]
  /** The packages to unpack for its programs; none if it has no programs. */
  readonly unpackedWith: readonly string[]
  /** The work of its own installation scripts, or of its unit at its start. */
  readonly folders?: readonly string[]
}

// dhclient's script needs Debian's shell and tools where busybox's differ.
export const DEBIAN_SHELL = '/usr/bin/dash'
const SHELL = [DEBIAN_SHELL, '/usr/bin/chmod', '/usr/bin/chown', '/usr/bin/run-parts']

const PERL_MODULES = '/usr/lib/x86_64-linux-gnu/perl-base'

const NOTHING: GuestPackage = { programs: [], unpackedWith: [] }

const GUEST_PACKAGES: Readonly<Record<string, GuestPackage>> = {
  iproute2: { programs: ['/usr/sbin/ip', '/usr/sbin/bridge'], unpackedWith: ['iproute2'] },
  lldpd: {
    programs: ['/usr/sbin/lldpd', '/usr/sbin/lldpcli'],
    folders: ['/run/lldpd', '/etc/lldpd.d'],
    unpackedWith: ['lldpd'],
  },
  'isc-dhcp-client': {
    programs: ['/usr/sbin/dhclient', '/usr/sbin/ip', ...SHELL],
    files: [
      '/usr/sbin/dhclient-script',
      '/etc/dhcp/dhclient.conf',
      '/etc/dhcp/dhclient-exit-hooks.d/rfc3442-classless-routes',
    ],
    folders: ['/var/lib/dhcp'],
    unpackedWith: DHCP_CLIENTS,
  },
  'dhcpcd-base': {
    programs: ['/usr/sbin/dhcpcd', '/usr/sbin/ip', ...SHELL],
    files: ['/usr/lib/dhcpcd/', '/etc/dhcpcd.conf'],
    folders: ['/var/lib/dhcpcd'],
    unpackedWith: DHCP_CLIENTS,
  },
  // As much of it as runs a program without modules.
  'perl-base': {
    programs: ['/usr/bin/perl'],
    files: ['strict', 'warnings'].map((name) => `${PERL_MODULES}/${name}.pm`),
    unpackedWith: ['perl-base'],
  },
  // Every guest of the lab has these.
  'busybox-static': NOTHING,
  tcpdump: NOTHING,
  // The lab reaches its guests by a port of its own.
  'qemu-guest-agent': NOTHING,
}

/** The path of a guest's file on the machine. */
export type GuestFiles = ReadonlyMap<string, string>

export const GUEST_PASSWD = ['root:x:0:0:root:/:/bin/sh', ...DAEMON_USERS]
export const GUEST_GROUP = ['root:x:0:', ...DAEMON_GROUPS]

export function getGuestPackage(name: string): GuestPackage {
  const found = GUEST_PACKAGES[name]
  if (found !== undefined) return found
  const known = Object.keys(GUEST_PACKAGES).join(', ')
  throw new Error(`Cannot put package "${name}" into a guest, expected one of ${known}`)
}

/** The packages' programs, the libraries that the dynamic linker loads for them, and their other files. */
export async function findGuestFiles(packages: readonly GuestPackage[]): Promise<GuestFiles> {
  const files = new Map<string, string>()
  for (const { programs, files: others = [], unpackedWith } of packages) {
    if (programs.length === 0) continue
    const tree = await ensurePackages(unpackedWith)
    const libraries = `LD_LIBRARY_PATH=${tree}/usr/lib/x86_64-linux-gnu`
    const paths: string[] = []
    for (const program of programs) {
      const path = await findFile(tree, program)
      files.set(program, path)
      paths.push(path)
    }
    // One call for all: it is a script, and takes longer to start than to answer.
    const linked = await run(['env', libraries, 'ldd', ...paths])
    for (const [, library = ''] of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g))
      files.set(library.startsWith(tree) ? library.slice(tree.length) : library, library)
    for (const other of others)
      for (const file of await listFiles(tree, other)) files.set(file, await findFile(tree, file))
  }
  return files
}

/** The folder where it is unpacked. An installed package has none. */
async function findFile(tree: string, file: string): Promise<string> {
  const script = 'ls "$1" 2>/dev/null || ls "$2"'
  return (await run(['sh', '-c', script, 'sh', tree + file, file])).trim()
}

async function listFiles(tree: string, file: string): Promise<readonly string[]> {
  if (!file.endsWith('/')) return [file]
  const script = 'cd "$1/$2" 2>/dev/null || cd "$2"; find . -type f'
  const found = (await run(['sh', '-c', script, 'sh', tree, file])).trim().split('\n')
  return found.map((line) => file + line.slice('./'.length))
}
