// Programs from Debian's packages, unpacked but not installed. Nothing is configured, and no service starts by
// itself.
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { CommandError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import { ensureDirectory, LAB_DIRECTORY } from './lab-directory.ts'

const DOWNLOAD_MS = 300_000

/** Users and groups that the packages' scripts would add. */
export const DAEMON_USERS = [
  'frr:x:920:920::/nonexistent:/usr/sbin/nologin',
  '_lldpd:x:922:922::/run/lldpd:/usr/sbin/nologin',
  'dhcpcd:x:923:923::/usr/lib/dhcpcd:/bin/false',
]
export const DAEMON_GROUPS = ['frr:x:920:', 'frrvty:x:921:frr', '_lldpd:x:922:', 'dhcpcd:x:923:']

/** The programs that configure VMs on a pod network. */
export const DHCP_CLIENTS = ['dhcpcd-base', 'isc-dhcp-client'] as const

/**
 * A folder to lay over the machine's root. It holds the packages and their dependencies that are not installed
 * here. Delete it to get newer ones.
 */
export async function ensurePackages(packages: readonly string[]): Promise<string> {
  const inputs = [...packages, ...DAEMON_USERS, ...DAEMON_GROUPS].join(' ')
  const digest = createHash('sha256').update(inputs).digest('hex')
  const target = path.join(LAB_DIRECTORY, `packages-${digest.slice(0, 8)}`)
  await ensureDirectory(target, async (directory) => unpack(packages, directory))
  return target
}

async function unpack(packages: readonly string[], directory: string): Promise<void> {
  const archives = path.join(directory, 'archives')
  await mkdir(path.join(archives, 'partial'), { recursive: true })
  try {
    await download(packages, archives)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    // There is no list of packages, or it names a version that the mirror no longer has.
    await run(['apt-get', '-qq', 'update'], { timeoutMs: DOWNLOAD_MS })
    await download(packages, archives)
  }
  const script = `
    cd "$1"
    mkdir usr etc
    # None exist if all of them are installed.
    for archive in archives/*.deb; do [ ! -e "$archive" ] || dpkg -x "$archive" .; done
    rm -r archives
    # On the machine these are links. A folder laid over them would hide them.
    for folder in bin lib sbin; do
      [ ! -d $folder ] || { mkdir -p usr/$folder && cp -a $folder/. usr/$folder && rm -r $folder; }
    done
  `
  await run(['sh', '-euc', script, 'sh', directory])
  await addLines(directory, 'etc/passwd', DAEMON_USERS)
  await addLines(directory, 'etc/group', DAEMON_GROUPS)
}

async function download(packages: readonly string[], archives: string): Promise<void> {
  // User "_apt" could not write here. An installed package is taken from the machine.
  const options = ['-o', `Dir::Cache::archives=${archives}`, '-o', 'APT::Sandbox::User=root']
  const command = ['install', '-qq', '-y', '--no-install-recommends', '--download-only']
  await run(['apt-get', ...options, ...command, ...packages], { timeoutMs: DOWNLOAD_MS })
}

/** The machine's file with lines added, for the users that the packages want. */
async function addLines(directory: string, file: string, lines: readonly string[]): Promise<void> {
  const present = await readFile(path.join('/', file), 'utf8')
  const names = new Set(present.split('\n').map((line) => line.split(':')[0]))
  const missing = lines.filter((line) => !names.has(line.split(':')[0]))
  await writeFile(
    path.join(directory, file),
    `${present}${missing.map((line) => `${line}\n`).join('')}`,
  )
}
