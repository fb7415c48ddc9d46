// The IPv6 switches of another namespace. /proc/sys/net shows each process those of its own namespace,
// also where it is mounted a second time: in a container /proc/sys itself is read-only.
import { join } from 'node:path'

import type { Run } from './run.ts'

/** Where they are unless somebody mounted them elsewhere. */
export const NET_SYSCTLS = '/proc/sys/net'

/** Switches IPv6 on, and lets addresses outlive a link that goes down and up. Throws CommandError. */
export async function enableIpv6(
  run: Run,
  folder: string,
  netnsPath: string,
  dev: string,
): Promise<void> {
  const enter = ['nsenter', `--net=${netnsPath}`]
  const toPath = (name: string, key: string): string => join(folder, 'ipv6/conf', name, key)
  // A pod talks to its own addresses over lo.
  const switches = ['lo', dev].map((name) => toPath(name, 'disable_ipv6'))
  if ((await run([...enter, 'cat', ...switches])).includes('1'))
    await run([...enter, 'tee', ...switches], { input: '0\n' })
  await run([...enter, 'tee', toPath(dev, 'keep_addr_on_down')], { input: '1\n' })
}
