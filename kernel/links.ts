// What the kernel has, read the cheapest way that is true: /sys for the agent's own namespace
// (no process), `ip -j` for another one.
import { readFile } from 'node:fs/promises'

import { parseLinks, parseRedirects, type PodLink } from '../core/pod-link.ts'
import { CommandError } from '../core/errors.ts'
import type { ObservedLink, ObservedLinks } from '../core/observed.ts'
import type { Run } from './run.ts'

const SYS_NET = '/sys/class/net'
/** IFF_UP of linux/if.h. */
const IFF_UP = 1

/** The named devices of the agent's own namespace; those that do not exist are left out. */
export async function observeLinks(names: readonly string[]): Promise<ObservedLinks> {
  const links = await Promise.all(names.map(async (name) => [name, await readLink(name)] as const))
  return new Map(links.flatMap(([name, link]) => (link === undefined ? [] : [[name, link]])))
}

/** All links of another namespace. Throws CommandError when it cannot be entered. */
export async function listPodLinks(run: Run, netnsPath: string): Promise<readonly PodLink[]> {
  return parseLinks(await run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', 'link', 'show']))
}

/** Where everything that comes in at a device is redirected to; a device that is gone redirects nothing. */
export async function readRedirects(
  run: Run,
  netnsPath: string | undefined,
  dev: string,
): Promise<readonly string[]> {
  const enter = netnsPath === undefined ? [] : ['nsenter', `--net=${netnsPath}`]
  try {
    return parseRedirects(
      await run([...enter, 'tc', '-j', 'filter', 'show', 'dev', dev, 'ingress']),
    )
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes('Cannot find device')) return []
    throw error
  }
}

async function readLink(name: string): Promise<ObservedLink | undefined> {
  try {
    const read = async (file: string): Promise<string> =>
      (await readFile(`${SYS_NET}/${name}/${file}`, 'utf8')).trim()
    const [flags, mtu, alias] = await Promise.all([read('flags'), read('mtu'), read('ifalias')])
    return { isUp: (Number(flags) & IFF_UP) !== 0, mtuBytes: Number(mtu), alias }
  } catch (error) {
    // The device is not there, or goes while we read: sysfs says EINVAL of one that is unregistering.
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EINVAL') return undefined
    throw error
  }
}
