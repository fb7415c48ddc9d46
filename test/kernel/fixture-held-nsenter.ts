// An nsenter that waits while it is told to, so that an agent can be met in the middle of what it does. A
// delay that is injected, no kernel that is played.
import { readFile, readlink, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { newTemporaryFolder } from '../../lab/temporary-folder.ts'

export interface HeldNsenter extends AsyncDisposable {
  /** The folder to have before others in PATH. */
  readonly path: string
  /** From now on whatever has this in its arguments waits, and nothing else does. */
  readonly hold: (words?: string) => Promise<void>
  /** Lets go of what waits. */
  readonly release: () => Promise<void>
  /** Whether anything that waited, or waits, is there still. */
  readonly isThere: () => Promise<boolean>
}

export async function newHeldNsenter(): Promise<HeldNsenter> {
  const folder = await newTemporaryFolder('held')
  const hold = join(folder.path, 'hold')
  const held = join(folder.path, 'held')
  const script = `#!/bin/sh
isHeld() {
  words=$(cat ${hold} 2>/dev/null) || return
  case "$*" in *"$words"*) ;; *) return 1 ;; esac
}
if isHeld "$@"; then
  echo $$ >>${held}
  while isHeld "$@"; do sleep 0.05; done
fi
exec /usr/bin/nsenter "$@"
`
  await writeFile(join(folder.path, 'nsenter'), script, { mode: 0o755 })
  return {
    path: folder.path,
    hold: async (words = '') => {
      await rm(held, { force: true })
      await writeFile(`${hold}.next`, words)
      await rename(`${hold}.next`, hold)
    },
    release: async () => rm(hold, { force: true }),
    isThere: async () => {
      const pids = (await readFile(held, 'utf8').catch(() => '')).split('\n').filter(Boolean)
      const are = await Promise.all(pids.map(async (pid) => runs(pid)))
      return are.includes(true)
    },
    [Symbol.asyncDispose]: async () => folder[Symbol.asyncDispose](),
  }
}

async function runs(pid: string): Promise<boolean> {
  return readlink(`/proc/${pid}/exe`).then(
    () => true,
    // Gone, or waiting for its parent to take note.
    () => false,
  )
}
