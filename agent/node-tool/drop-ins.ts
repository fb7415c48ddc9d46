// Tells the daemons that configure a node's network to leave our devices alone: a file of ours in the
// configuration folder of each. Which daemons a node has is its admin's to say, by the folders given.
import { access, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { replaceFile, sweepTemporaries } from './replace-file.ts'

/** Folders of the node: NetworkManager's conf.d, and where systemd-networkd and udev look. */
export interface DropInFolders {
  readonly networkManager: string | undefined
  readonly networkd: string | undefined
}

/** By the folder they go to; the build puts them beside the program (deploy/node). */
const FILES = {
  networkManager: ['90-l2wire.conf'],
  networkd: ['05-l2wire.network', '05-l2wire.link'],
} as const

export interface InstalledDropIns {
  readonly folder: string
  /** Undefined where there is no such folder: a node without that daemon needs nothing. */
  readonly replaced: readonly string[] | undefined
}

/** Idempotent. */
export async function installDropIns(
  from: string,
  to: DropInFolders,
): Promise<readonly InstalledDropIns[]> {
  const installed: InstalledDropIns[] = []
  for (const { folder, files } of listFolders(to)) {
    if (!(await exists(folder))) {
      installed.push({ folder, replaced: undefined })
      continue
    }
    await sweepTemporaries(folder)
    const replaced: string[] = []
    for (const file of files)
      if (await replaceFile(join(from, file), join(folder, file), 0o644)) replaced.push(file)
    installed.push({ folder, replaced })
  }
  return installed
}

/** Idempotent. */
export async function removeDropIns(folders: DropInFolders): Promise<void> {
  for (const { folder, files } of listFolders(folders))
    for (const file of files) await rm(join(folder, file), { force: true })
}

function listFolders({
  networkManager,
  networkd,
}: DropInFolders): readonly { folder: string; files: readonly string[] }[] {
  return [
    ...(networkManager === undefined
      ? []
      : [{ folder: networkManager, files: FILES.networkManager }]),
    ...(networkd === undefined ? [] : [{ folder: networkd, files: FILES.networkd }]),
  ]
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
