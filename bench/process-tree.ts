// What a process costs, its children included: those that live and those that it has waited for.
import { readdirSync, readFileSync } from 'node:fs'

/** /proc counts in hundredths of a second, whatever the kernel's own clock (USER_HZ). */
const TICK_SECONDS = 0.01

/** Seconds of CPU, user and system, of the process and all that it ever started and did not disown. */
export function readCpuSeconds(pid: number): number {
  const stat = readProc(`${pid}/stat`)
  if (stat === undefined) return 0
  // The name before the parenthesis may hold anything; utime is the 14th field, stime, cutime and cstime follow.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  const children = listChildren(pid).reduce((sum, child) => sum + readCpuSeconds(child), 0)
  return ticks * TICK_SECONDS + children
}

/** Megabytes of memory of its own, its living children's included: what no file stands behind. */
export function readAnonymousMb(pid: number): number {
  const status = readProc(`${pid}/status`) ?? ''
  const own = Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024
  return listChildren(pid).reduce((sum, child) => sum + readAnonymousMb(child), own)
}

function listChildren(pid: number): readonly number[] {
  // A child is its thread's, and any thread may start one.
  return listThreads(pid).flatMap((thread) =>
    (readProc(`${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  )
}

function listThreads(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Undefined for a process that is gone. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
}
