// What a guest has of a Debian package that its VM's cloud-init asks for: the programs and their
// libraries, laid into the initramfs.
import { run } from '../kernel/run.ts'
import { DAEMON_GROUPS, DAEMON_USERS, DHCP_CLIENTS, ensurePackages } from './debian-packages.ts'

export interface GuestPackage {
  readonly programs: readonly string[]
  /** Scripts and configuration, as the package has them; a name that ends in a slash is a whole folder. */
  readonly files?: readonly string[]
  /** The packages that it is unpacked with; default: those of the examples. */
  readonly unpackedWith?: readonly string[]
  /** What its own scripts make when it is installed, or its unit when it starts. */
  readonly folders?: readonly string[]
  /** What the package's systemd unit starts. */
  readonly daemon?: string
}

// dhclient's script means Debian's shell and tools where busybox's differ.
export const DEBIAN_SHELL = '/usr/bin/dash'
const SHELL = [DEBIAN_SHELL, '/usr/bin/chmod', '/usr/bin/chown', '/usr/bin/run-parts']

const GUEST_PACKAGES: Readonly<Record<string, GuestPackage>> = {
  iproute2: { programs: ['/usr/sbin/ip', '/usr/sbin/bridge'] },
  lldpd: {
    programs: ['/usr/sbin/lldpd', '/usr/sbin/lldpcli'],
    folders: ['/run/lldpd', '/etc/lldpd.d'],
    daemon: 'lldpd',
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
  // Every guest of the lab has these.
  'busybox-static': { programs: [] },
  tcpdump: { programs: [] },
  // The lab reaches into its guests by a port of its own.
  'qemu-guest-agent': { programs: [] },
}

/** Where a file of the guest is on the machine. */
export type GuestFiles = ReadonlyMap<string, string>

export const GUEST_PASSWD = ['root:x:0:0:root:/:/bin/sh', ...DAEMON_USERS]
export const GUEST_GROUP = ['root:x:0:', ...DAEMON_GROUPS]

/** Before scripts that mean Debian's programs: busybox's shell takes its own before any in PATH. */
export const GUEST_PRELUDE = '[ ! -x /usr/sbin/ip ] || ip() { /usr/sbin/ip "$@"; }\n'

export function getGuestPackage(name: string): GuestPackage {
  const found = GUEST_PACKAGES[name]
  if (found !== undefined) return found
  const known = Object.keys(GUEST_PACKAGES).join(', ')
  throw new Error(`Cannot put package "${name}" into a guest, expected one of ${known}`)
}

/** The packages' programs, the libraries that the dynamic linker wants for them, and their other files. */
export async function findGuestFiles(names: readonly string[]): Promise<GuestFiles> {
  const files = new Map<string, string>()
  for (const { programs, files: others = [], unpackedWith } of names.map(getGuestPackage)) {
    if (programs.length === 0) continue
    const tree = await ensurePackages(unpackedWith)
    const libraries = `LD_LIBRARY_PATH=${tree}/usr/lib/x86_64-linux-gnu`
    for (const program of programs) {
      const path = await findFile(tree, program)
      files.set(program, path)
      const linked = await run(['env', libraries, 'ldd', path])
      for (const [, library = ''] of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g))
        files.set(library.startsWith(tree) ? library.slice(tree.length) : library, library)
    }
    for (const other of others)
      for (const file of await listFiles(tree, other)) files.set(file, await findFile(tree, file))
  }
  return files
}

/** Where it is unpacked; a package that is installed is not. */
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
