// A running cluster's traces on this machine, as text. None may be left when it is down.
import { readFile } from 'node:fs/promises'

import { run } from '../../kernel/run.ts'
import { exists } from '../go-build.ts'
import { listFolders, listProcesses } from './cgroups.ts'
import { CGROUP, readState, STATE } from './state.ts'
import { listTurned } from './sysctls.ts'

/** Sorted lines; empty if no cluster of this checkout is on the machine. */
export async function listClusterTraces(): Promise<readonly string[]> {
  const [inside, cgroups, mounts, links, turned] = await Promise.all([
    listProcesses(CGROUP),
    listFolders(CGROUP),
    listMountpoints(),
    run(['ip', '-br', 'link', 'show']),
    listTurned((await readState())?.sysctls ?? {}),
  ])
  const processes = await Promise.all(
    inside.map(async (pid) => `process ${pid} ${await readArgs(pid)}`),
  )
  return [
    ...processes,
    ...cgroups.map((folder) => `cgroup ${folder}`),
    ...mounts.map((mountpoint) => `mount ${mountpoint}`),
    ...links
      .split('\n')
      .filter((line) => /^(port-n\d|cni0|lw)/.test(line))
      .map((line) => `link ${line.trim()}`),
    ...turned.map(({ key, value, was }) => `sysctl ${key} ${value}, it was ${was}`),
    ...((await exists(STATE)) ? [`folder ${STATE}`] : []),
  ].toSorted()
}

/** In the folder of the cluster, deepest first. */
export async function listMountpoints(): Promise<readonly string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  return mounts
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mountpoint) => mountpoint === STATE || mountpoint.startsWith(`${STATE}/`))
    .reverse()
}

async function readArgs(pid: number): Promise<string> {
  const args = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return args.split('\0').join(' ').trim()
}
