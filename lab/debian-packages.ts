// Daemons that the examples run, out of Debian's packages but not installed: nothing is set up, and
// nothing starts that nobody asked for.
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

/** What the examples' containers and guests run. */
const EXAMPLE_PACKAGES = ['frr', 'iputils-arping', 'iputils-ping', 'keepalived', 'lldpd'] as const

/** What VMs on a pod network are configured with. */
export const DHCP_CLIENTS = ['dhcpcd-base', 'isc-dhcp-client'] as const

/**
 * A folder to lay over the machine's root. It holds the packages and those they need that are not
 * installed here; delete it to get newer ones.
 */
export async function ensurePackages(
  packages: readonly string[] = EXAMPLE_PACKAGES,
): Promise<string> {
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
    // No list of packages, or one that names a version which the mirror no longer has.
    await run(['apt-get', '-qq', 'update'], { timeoutMs: DOWNLOAD_MS })
    await download(packages, archives)
  }
  const script = `
    cd "$1"
    mkdir usr etc
    # There is none where all of them are installed.
    for archive in archives/*.deb; do [ ! -e "$archive" ] || dpkg -x "$archive" .; done
    rm -r archives
    # On the machine these are links, which a folder laid over them would hide.
    for folder in bin lib sbin; do
      [ ! -d $folder ] || { mkdir -p usr/$folder && cp -a $folder/. usr/$folder && rm -r $folder; }
    done
  `
  await run(['sh', '-euc', script, 'sh', directory])
  await addLines(directory, 'etc/passwd', DAEMON_USERS)
  await addLines(directory, 'etc/group', DAEMON_GROUPS)
}

async function download(packages: readonly string[], archives: string): Promise<void> {
  // As user "_apt" it could not write here. A package that is installed is taken from the machine.
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
