// What a guest has of a Debian package that its VM's cloud-init asks for: the programs and their
// libraries, laid into the initramfs.
import { run } from '../kernel/run.ts'
import { DAEMON_GROUPS, DAEMON_USERS, ensurePackages } from './debian-packages.ts'

export interface GuestPackage {
  readonly programs: readonly string[]
  /** Made before the daemon starts. */
  readonly folders?: readonly string[]
  /** What the package's systemd unit starts. */
  readonly daemon?: string
}

const GUEST_PACKAGES: Readonly<Record<string, GuestPackage>> = {
  iproute2: { programs: ['/usr/sbin/ip', '/usr/sbin/bridge'] },
  lldpd: {
    programs: ['/usr/sbin/lldpd', '/usr/sbin/lldpcli'],
    folders: ['/run/lldpd', '/etc/lldpd.d'],
    daemon: 'lldpd',
  },
  // Every guest of the lab has it.
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

/** The packages' programs and the libraries that the dynamic linker wants for them. */
export async function findGuestFiles(names: readonly string[]): Promise<GuestFiles> {
  const files = new Map<string, string>()
  const programs = names.flatMap((name) => getGuestPackage(name).programs)
  if (programs.length === 0) return files
  const tree = await ensurePackages()
  const libraries = `LD_LIBRARY_PATH=${tree}/usr/lib/x86_64-linux-gnu`
  for (const program of programs) {
    const path = (
      await run(['sh', '-c', 'ls "$1" 2>/dev/null || ls "$2"', 'sh', tree + program, program])
    ).trim()
    files.set(program, path)
    const linked = await run(['env', libraries, 'ldd', path])
    for (const [, library = ''] of linked.matchAll(/(?:=> )?(\/\S+) \(0x/g))
      files.set(library.startsWith(tree) ? library.slice(tree.length) : library, library)
  }
  return files
}
