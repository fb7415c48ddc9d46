// What the kernel has, read the cheapest way that is true: /sys for the agent's own namespace
// (no process), `ip -j` for another one.
import { readFile } from 'node:fs/promises'

import {
  findMissingDevices,
  parseFilterAnswers,
  renderFilterQueries,
} from '../core/node-observation.ts'
import { findMuteFault } from '../core/mute.ts'
import { parseLinks, parseRedirects, type PodLink } from '../core/pod-link.ts'
import { CommandError } from '../core/errors.ts'
import type { ObservedLink, ObservedLinks } from '../core/observed.ts'
import type { Hook } from '../core/step.ts'
import type { Run } from './run.ts'

const SYS_NET = '/sys/class/net'
/** IFF_UP of linux/if.h. */
const IFF_UP = 1

/** The named devices of the agent's own namespace; those that do not exist are left out. */
export async function observeLinks(names: readonly string[]): Promise<ObservedLinks> {
  const links = await Promise.all(names.map(async (name) => [name, await readLink(name)] as const))
  return new Map(links.flatMap(([name, link]) => (link === undefined ? [] : [[name, link]])))
}

/** As observeLinks, and where each leads: one process for all. */
export async function observeRedirects(run: Run, names: readonly string[]): Promise<ObservedLinks> {
  const links = await observeLinks(names)
  const redirects = await readAllRedirects(run, [...links.keys()])
  return new Map(
    [...links].flatMap(([name, link]) => {
      const targets = redirects.get(name)
      return targets === undefined ? [] : [[name, { ...link, redirects: targets }] as const]
    }),
  )
}

/** All links of another namespace. Throws CommandError when it cannot be entered. */
export async function listPodLinks(run: Run, netnsPath: string): Promise<readonly PodLink[]> {
  return parseLinks(await run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', '-d', 'link', 'show']))
}

/** Where everything that comes in at a device is redirected to; a device that is gone redirects nothing. */
export async function readRedirects(
  run: Run,
  netnsPath: string | undefined,
  dev: string,
  hook: Hook = 'ingress',
): Promise<readonly string[]> {
  const enter = netnsPath === undefined ? [] : ['nsenter', `--net=${netnsPath}`]
  try {
    return parseRedirects(await run([...enter, 'tc', '-j', 'filter', 'show', 'dev', dev, hook]))
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes('Cannot find device')) return []
    throw error
  }
}

/** In words, why not the opener of a tap alone speaks on a pod link. Throws CommandError. */
export async function readMuteFault(
  run: Run,
  netnsPath: string,
  podLink: string,
  tap: string,
): Promise<string | undefined> {
  const enter = ['nsenter', `--net=${netnsPath}`]
  const said = await run([...enter, 'tc', '-j', 'filter', 'show', 'dev', podLink, 'egress'])
  return findMuteFault(said, podLink, tap)
}

/**
 * The same of devices of the agent's own namespace; those that are gone are left out. Each process of tc
 * first reads all links there are, so one for all is what many wires can afford.
 */
export async function readAllRedirects(
  run: Run,
  devices: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (devices.length === 0) return new Map()
  try {
    // "-force" goes on behind a missing one, so that all of them are named at once.
    const argv = ['tc', '-j', '-force', '-batch', '-']
    return parseFilterAnswers(await run(argv, { input: renderFilterQueries(devices) }), devices)
  } catch (error) {
    // A device that went in the meantime has no answer, and fails the batch as a whole: once more without it.
    const missing = error instanceof CommandError ? findMissingDevices(error.stderr) : []
    const left = devices.filter((dev) => !missing.includes(dev))
    if (left.length === devices.length) throw error
    return readAllRedirects(run, left)
  }
}

// Of a device that is down the kernel does not say (EINVAL), and it may go down while we read.
async function readCarrier(name: string): Promise<boolean> {
  try {
    return (await readFile(`${SYS_NET}/${name}/carrier`, 'utf8')).trim() === '1'
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** The kernel's number of a device of the agent's own namespace; undefined where there is none. */
export async function readIfindex(name: string): Promise<number | undefined> {
  try {
    return Number(await readFile(`${SYS_NET}/${name}/ifindex`, 'utf8'))
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

async function readLink(name: string): Promise<ObservedLink | undefined> {
  try {
    const read = async (file: string): Promise<string> =>
      (await readFile(`${SYS_NET}/${name}/${file}`, 'utf8')).trim()
    const [flags, mtu, alias] = await Promise.all([read('flags'), read('mtu'), read('ifalias')])
    const isUp = (Number(flags) & IFF_UP) !== 0
    const hasCarrier = isUp && (await readCarrier(name))
    return { isUp, hasCarrier, mtuBytes: Number(mtu), alias }
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

// The device is not there, or goes while we read: sysfs says EINVAL of one that is unregistering.
function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ENODEV' || code === 'EINVAL'
}
