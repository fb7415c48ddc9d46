// A disk of a few pages that tests can fill: a separate tmpfs.
import { mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { run } from '../kernel/run.ts'

export interface SmallDisk extends AsyncDisposable {
  readonly folder: string
  /** The name of the file that fills it. */
  readonly ballast: string
  /** Leaves not a byte free. */
  readonly fill: () => Promise<void>
  readonly empty: () => Promise<void>
}

const BALLAST = 'ballast'
const SIZE_BYTES = 256 * 1024

export async function newSmallDisk(): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-disk-'))
  await run(['mount', '-t', 'tmpfs', '-o', `size=${SIZE_BYTES},mode=0700`, 'l2wdisk', folder])
  const ballast = join(folder, BALLAST)
  return {
    folder,
    ballast: BALLAST,
    fill: async () => {
      try {
        await writeFile(ballast, Buffer.alloc(SIZE_BYTES + 1))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
        throw error
      }
      throw new Error(`"${folder}" has more room than ${SIZE_BYTES} bytes`)
    },
    empty: async () => rm(ballast),
    [Symbol.asyncDispose]: async () => {
      // A killed process may still hold it.
      await run(['umount', '--lazy', folder])
      await rmdir(folder)
    },
  }
}
