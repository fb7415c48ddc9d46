// A lock file between processes of one machine, for the few milliseconds of a read-change-write. link(2) takes
// it, atomically; unlink releases it. A lock whose owner died is broken under flock(1), so that no breaker can
// remove the lock that another breaker has just taken.
import { link, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { CNI_CODE, CniError } from '../core/errors.ts'
import { run } from '../kernel/run.ts'
import { toTemporaryName, writeNewFile } from './new-file.ts'

const WAIT_MS = 10_000
const POLL_MS = 5

/**
 * How many callers in this process hold a lock or are taking it. Without a count, a lock file of this living
 * process that nobody holds would stay forever.
 */
const users = new Map<string, number>()

function addUser(path: string, more: 1 | -1): void {
  const count = (users.get(path) ?? 0) + more
  if (count === 0) users.delete(path)
  else users.set(path, count)
}

/** Runs the action while holding the lock. Throws CniError 11 if it cannot take the lock in ten seconds. */
export async function withFileLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  await takeLock(path)
  try {
    return await action()
  } finally {
    try {
      await rm(path, { force: true })
    } finally {
      addUser(path, -1)
    }
  }
}

async function takeLock(path: string): Promise<void> {
  const mine = toTemporaryName(path)
  await writeNewFile(mine, await readOwner(process.pid))
  try {
    const deadline = Date.now() + WAIT_MS
    while (!(await tryLink(mine, path))) {
      await breakIfDead(path)
      if (Date.now() > deadline)
        throw new CniError(
          CNI_CODE.TRY_AGAIN_LATER,
          `Cannot lock "${path}" within ${WAIT_MS / 1000} s: it is held by "${await readIfThere(path)}"`,
        )
      await sleep(POLL_MS)
    }
  } finally {
    await rm(mine, { force: true })
  }
}

async function tryLink(mine: string, path: string): Promise<boolean> {
  addUser(path, 1)
  try {
    await link(mine, path)
    return true
  } catch (error) {
    addUser(path, -1)
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function breakIfDead(path: string): Promise<void> {
  const owner = await readIfThere(path)
  if (owner === '' || (await isAlive(path, owner))) return
  // The condition is checked again under flock, because another process may have broken the lock first.
  const script = '[ "$(cat "$1" 2>/dev/null)" = "$2" ] && rm -f "$1"; true'
  // flock locks the folder itself, because a separate file would need cleaning up.
  await run(['flock', dirname(path), 'sh', '-c', script, 'sh', path, owner])
}

async function isAlive(path: string, owner: string): Promise<boolean> {
  const pid = Number(owner.split(' ')[0])
  if (pid === process.pid && !users.has(path)) return false
  return (await readOwner(pid)) === owner
}

// A pid alone may be reused. With its start time (field 22 of /proc/PID/stat) it names one process.
async function readOwner(pid: number): Promise<string> {
  const stat = await readIfThere(`/proc/${pid}/stat`)
  // The second field, the command's name, may contain blanks and parentheses.
  const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return `${pid} ${startTime ?? 'dead'}`
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return ''
    throw error
  }
}
