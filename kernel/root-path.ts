// Whether a path leads where root alone can make it lead. Each folder on the way is root's, and nobody
// else may put something else into it: then what has been checked stays so, and needs no check again.
import { lstatSync, mkdirSync, readlinkSync, type Stats } from 'node:fs'
import { join } from 'node:path'

/** As the kernel (path_resolution(7)). */
const LINKS_MAX = 40
const WRITABLE_BY_OTHERS = 0o022
const STICKY = 0o1000

/** Throws an Error that names the first component that is not root's alone, and the system's where one is missing. */
export function expectRootPath(path: string): void {
  walk(path, () => false)
}

/** The folder, made with all that is missing of it. Throws as expectRootPath. */
export function makeRootFolder(path: string): void {
  walk(path, (missing) => {
    mkdirSync(missing, { recursive: true, mode: 0o700 })
    return true
  })
  if (!lstatSync(path).isDirectory()) throw new Error(`"${path}" is no folder`)
}

function walk(path: string, make: (missing: string) => boolean): void {
  let rest = path.split('/').filter((name) => name !== '' && name !== '.')
  let at = '/'
  let links = 0
  expectRoots(at, lstatSync(at), rest.length > 0)
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const next = join(at, name)
    const stats = readStats(next, make)
    expectRoots(next, stats, rest.length > 0)
    if (!stats.isSymbolicLink()) {
      at = next
      continue
    }
    links += 1
    if (links > LINKS_MAX) throw new Error(`"${path}" leads through too many links`)
    const target = readlinkSync(next)
    if (target.startsWith('/')) at = '/'
    rest = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...rest]
  }
}

function readStats(path: string, make: (missing: string) => boolean): Stats {
  try {
    return lstatSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && make(path)) return lstatSync(path)
    throw error
  }
}

// In a sticky folder, as /tmp is one, what is root's is root's to rename and to remove.
function expectRoots(path: string, stats: Stats, isOnTheWay: boolean): void {
  if (stats.uid !== 0) throw new Error(`"${path}" belongs to user ${stats.uid}, expected root's`)
  const isSafe =
    stats.isSymbolicLink() ||
    (stats.mode & WRITABLE_BY_OTHERS) === 0 ||
    (isOnTheWay && (stats.mode & STICKY) !== 0)
  if (!isSafe) throw new Error(`others than root may write to "${path}"`)
}
