// The cluster's cgroups, in every hierarchy in which containers live. By them we also find all its processes
// again, whatever happened to the process that started them.
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { parseHierarchies, type Hierarchy } from './cgroup-mounts.ts'

const GONE_MS = 60_000
const AGAIN_MS = 50
const PROCESSES = 'init'
const CONTROLLERS = ['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids']

export async function listHierarchies(): Promise<readonly Hierarchy[]> {
  return parseHierarchies(await readFile('/proc/self/mounts', 'utf8'))
}

/** The files by which a process joins a cgroup, one per hierarchy. */
export interface MachineCgroup {
  /** The cgroup that becomes the root of the machine's cgroup namespace. */
  readonly root: readonly string[]
  /**
   * The cgroup of its own processes. In new hierarchies a cgroup in which a kubelet makes cgroups may hold no
   * processes, unless it is the root.
   */
  readonly processes: readonly string[]
}

/** Makes CGROUP/NAME everywhere, with all controllers. */
export async function ensureMachineCgroup(parent: string, name: string): Promise<MachineCgroup> {
  const hierarchies = await listHierarchies()
  for (const { mountpoint, version, options } of hierarchies)
    for (const [above, folder] of [
      ['', parent],
      [parent, join(parent, name)],
      [join(parent, name), join(parent, name, PROCESSES)],
    ] as const) {
      // A kubelet enables the controllers below the last folder, once no process is in between.
      if (version === 2 && above !== join(parent, name))
        await giveControllers(join(mountpoint, above))
      await mkdir(join(mountpoint, folder), { recursive: true })
      if (options.split(',').includes('cpuset'))
        // An empty cpuset takes no process.
        for (const file of ['cpuset.cpus', 'cpuset.mems'])
          await copyValue(join(mountpoint, above, file), join(mountpoint, folder, file))
    }
  const toFiles = (folder: string): readonly string[] =>
    hierarchies.map(({ mountpoint }) => join(mountpoint, folder, 'cgroup.procs'))
  return { root: toFiles(join(parent, name)), processes: toFiles(join(parent, name, PROCESSES)) }
}

async function copyValue(from: string, to: string): Promise<void> {
  await writeFile(to, await readFile(from))
}

// One at a time: a kernel may lack some, and one unknown word makes it refuse all.
async function giveControllers(folder: string): Promise<void> {
  const there = (await readFile(join(folder, 'cgroup.controllers'), 'utf8')).trim().split(' ')
  for (const controller of CONTROLLERS.filter((name) => there.includes(name)))
    await writeFile(join(folder, 'cgroup.subtree_control'), `+${controller}`)
}

/** Processes in the cgroup and below, by their numbers on this machine. */
export async function listProcesses(name: string): Promise<readonly number[]> {
  const found = new Set<number>()
  for (const folder of await listFolders(name)) {
    const text = await readIfThere(join(folder, 'cgroup.procs'))
    for (const pid of text.split('\n').filter((line) => line !== '')) found.add(Number(pid))
  }
  return [...found]
}

/** Kills all processes in the cgroup and removes it with its children, like a machine's power-off. */
export async function removeCgroup(name: string): Promise<void> {
  const deadline = Date.now() + GONE_MS
  for (;;) {
    // Repeated, because a process that was just starting may have been missed.
    for (const pid of await listProcesses(name)) kill(pid)
    const folders = await listFolders(name)
    if (folders.length === 0) return
    // The kernel keeps a cgroup busy for a moment after its last process.
    for (const folder of folders.toReversed()) await rmdir(folder).catch(() => undefined)
    if (Date.now() > deadline)
      throw new Error(
        `Cannot remove cgroups ${folders.join(' ')}; processes in them: ${(await listProcesses(name)).join(' ')}`,
      )
    await sleep(AGAIN_MS)
  }
}

/** Of every hierarchy, parents first. */
export async function listFolders(name: string): Promise<readonly string[]> {
  const roots = (await listHierarchies()).map(({ mountpoint }) => join(mountpoint, name))
  return (await Promise.all(roots.map(listBelow))).flat()
}

async function listBelow(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    const below = await Promise.all(folders.map(async (name) => listBelow(join(folder, name))))
    return [folder, ...below.flat()]
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isGone(error)) return ''
    throw error
  }
}

// ENODEV: removed between opening and reading.
function isGone(error: unknown): boolean {
  return ['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
