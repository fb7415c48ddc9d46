// The contents of a layer of ours, as a list: files, texts, folders and links with owners and modes. They are
// laid out in an empty folder, and no name is written twice, because a link in a foreign root could lead out of
// it.
import { constants } from 'node:fs'
import { chmod, copyFile, lchown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { run } from '../../kernel/run.ts'

export interface Entry {
  /** In the image, without a slash in front. */
  readonly path: string
  /** Its kind: a copy of a file, a text, a link, or a folder. */
  readonly of:
    { readonly file: string } | { readonly text: string } | { readonly link: string } | 'folder'
  /** Default: 0755. */
  readonly mode?: number
  /** User and group alike; default: root. */
  readonly owner?: number
  /** In setcap's form. */
  readonly capabilities?: string
}

/** Parent folders that are no entries belong to root. */
export async function layOut(folder: string, entries: readonly Entry[]): Promise<void> {
  for (const entry of entries) {
    const target = join(folder, entry.path)
    await mkdir(dirname(target), { recursive: true })
    await make(target, entry)
    const owner = entry.owner ?? 0
    await lchown(target, owner, owner)
    if (typeof entry.of === 'object' && 'link' in entry.of) continue
    await chmod(target, entry.mode ?? 0o755)
    // After chown, which removes capabilities.
    if (entry.capabilities !== undefined) await run(['setcap', entry.capabilities, target])
  }
}

async function make(target: string, { of }: Entry): Promise<void> {
  if (of === 'folder') await mkdir(target, { recursive: true })
  else if ('file' in of) await copyFile(of.file, target, constants.COPYFILE_EXCL)
  else if ('text' in of) await writeFile(target, of.text, { flag: 'wx' })
  else await symlink(of.link, target)
}
