// A Debian system on a disk, like its cloud image: kernel, systemd, cloud-init, netplan. It is made of Debian's
// packages without a mount. Partition and boot loader are where a BIOS looks for them.
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { ensureProduct, type Say } from '../go-build.ts'
import { makeDebianRoot } from './debian-root.ts'

const HOOK = join(import.meta.dirname, 'system-disk-root.sh')
const PACKAGES = [
  'cloud-init',
  'dbus',
  'grub-pc-bin',
  'initramfs-tools',
  'iproute2',
  'iputils-ping',
  'kmod',
  'libpam-systemd',
  'linux-image-cloud-amd64',
  'lz4',
  'netbase',
  'netplan.io',
  'openssh-server',
  'procps',
  'sudo',
  'systemd',
  'systemd-resolved',
  'systemd-sysv',
  'udev',
]
const SECTOR_BYTES = 512
/** Partitions begin here since disks are large. The space before is room for the boot loader. */
const FIRST_SECTOR = 2048
const PARTITION_MB = 1536
/** A Linux file system. */
const PARTITION_TYPE = 0x83
const PARTITIONS = 446
const PARTITIONS_END = 510
const MAKE_MS = 10 * 60_000

/** A qcow2 file. Its guests install "packages" from a mirror inside it. */
export async function ensureSystemDisk(packages: readonly string[], say: Say): Promise<string> {
  const own = [...packages].sort().join(' ')
  const make = async (target: string): Promise<void> => makeDisk(own, target)
  const causes = [
    PACKAGES.join(' '),
    `\n${own}\n`,
    await readFile(HOOK),
    await readFile(import.meta.filename),
  ]
  const why = 'is what VMs of the examples boot; takes minutes'
  return ensureProduct({ name: 'system.qcow2', why, make }, causes, say)
}

async function makeDisk(packages: string, target: string): Promise<void> {
  // Beside the target, because it may be larger than memory allows.
  const [folder, raw] = [`${target}.d`, `${target}.raw`]
  await mkdir(folder)
  try {
    const root = { name: 'system', suite: 'bookworm', packages: PACKAGES } as const
    await makeDebianRoot(root, folder, { program: HOOK, env: { PACKAGES: packages } })
    // An empty file is filled at a boot. Without the file the boot counts as a first one, which configures
    // units.
    await writeFile(join(folder, 'etc/machine-id'), '')
    await writeBootLoader(raw, join(folder, 'boot'))
    await makeFileSystem(raw, folder)
    // Not as small as possible, because it is unpacked while a guest boots.
    const pack = ['qemu-img', 'convert', '-c', '-O', 'qcow2', '-o', 'compression_type=zstd']
    await run([...pack, raw, target], { timeoutMs: MAKE_MS })
  } finally {
    await rm(folder, { recursive: true, force: true })
    await rm(raw, { force: true })
  }
}

/** GRUB's first sector finds the rest in the sectors that follow. Both are built for that. */
async function writeBootLoader(disk: string, boot: string): Promise<void> {
  const first = await readFile(join(boot, 'boot.img'))
  const core = await readFile(join(boot, 'core.img'))
  if (core.length > (FIRST_SECTOR - 1) * SECTOR_BYTES)
    throw new RangeError(
      `GRUB has ${core.length} bytes, expected at most ${(FIRST_SECTOR - 1) * SECTOR_BYTES}`,
    )
  // Code for floppy disks occupies the place of the partition table.
  first.fill(0, PARTITIONS, PARTITIONS_END)
  toPartitionEntry().copy(first, PARTITIONS)
  await using file = await open(disk, 'w')
  await file.write(first, 0, SECTOR_BYTES, 0)
  await file.write(core, 0, core.length, SECTOR_BYTES)
  await file.truncate(FIRST_SECTOR * SECTOR_BYTES + PARTITION_MB * 1024 * 1024)
}

/** Active, addressed by sectors alone: cylinders and heads say "too far". */
function toPartitionEntry(): Buffer {
  const entry = Buffer.from([0x80, 0xfe, 0xff, 0xff, PARTITION_TYPE, 0xfe, 0xff, 0xff])
  const place = Buffer.alloc(8)
  place.writeUInt32LE(FIRST_SECTOR, 0)
  place.writeUInt32LE((PARTITION_MB * 1024 * 1024) / SECTOR_BYTES, 4)
  return Buffer.concat([entry, place])
}

async function makeFileSystem(disk: string, root: string): Promise<void> {
  const features = [
    // GRUB of bookworm cannot read it.
    '-O',
    '^metadata_csum_seed',
    '-E',
    `offset=${FIRST_SECTOR * SECTOR_BYTES},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0`,
  ]
  const argv = ['mke2fs', '-q', '-t', 'ext4', '-L', 'system', '-d', root, ...features]
  await run([...argv, disk, `${PARTITION_MB}M`], { timeoutMs: MAKE_MS })
}
