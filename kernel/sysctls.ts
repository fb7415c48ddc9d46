// Sets switches of an interface in another namespace; see kernel/ipv6.ts for the folder.
import { join } from 'node:path'

import type { Sysctl } from '../core/podnetwork/server-sysctls.ts'
import type { Run } from './run.ts'

/** In their order: a process for each run of neighbours of one value. Throws CommandError. */
export async function setSysctls(
  run: Run,
  folder: string,
  netnsPath: string,
  sysctls: readonly Sysctl[],
): Promise<void> {
  let left = sysctls
  for (let [first] = left; first !== undefined; [first] = left) {
    const { value } = first
    const end = left.findIndex((one) => one.value !== value)
    const same = end < 0 ? left : left.slice(0, end)
    const files = same.map((one) => toSysctlFile(folder, one))
    await run(['nsenter', `--net=${netnsPath}`, 'tee', ...files], { input: `${value}\n` })
    left = left.slice(same.length)
  }
}

export function toSysctlFile(folder: string, { key }: Sysctl): string {
  return join(folder, key)
}
