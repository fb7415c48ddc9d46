// Switches of the whole machine that a kubelet, or KubeVirt on a node, sets at its start. A node sets copies of
// its own. A pod that mounts a new /proc could still set the machine's, so they are restored at the end.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Paths below /proc/sys. A kernel may lack some of them. */
export const SYSCTLS: readonly string[] = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'vm/unprivileged_userfaultfd',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxbytes',
  'kernel/keys/root_maxkeys',
]

export type Sysctls = Readonly<Record<string, string>>

export async function readSysctls(): Promise<Sysctls> {
  const pairs: [string, string][] = []
  for (const key of SYSCTLS) {
    const value = await readFile(toFile(key), 'utf8').catch(() => undefined)
    if (value !== undefined) pairs.push([key, value.trim()])
  }
  return Object.fromEntries(pairs)
}

/** Those that have changed: name, value, earlier value. */
export async function listTurned(
  before: Sysctls,
): Promise<readonly { readonly key: string; readonly value: string; readonly was: string }[]> {
  const now = await readSysctls()
  return Object.entries(before).flatMap(([key, was]) => {
    const value = now[key] ?? was
    return value === was ? [] : [{ key, value, was }]
  })
}

export async function putBackSysctls(before: Sysctls): Promise<void> {
  for (const { key, was } of await listTurned(before)) await writeFile(toFile(key), was)
}

function toFile(key: string): string {
  return join('/proc/sys', key)
}
