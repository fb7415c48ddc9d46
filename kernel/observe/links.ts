// What the kernel has, read the cheapest way that is true: /sys and /proc for the agent's own namespace
// (no process), `ip -j` for another one.
import { readFile } from 'node:fs/promises'

import { CommandError } from '../../core/errors.ts'
import { normalizeIp } from '../../core/net/ip.ts'
import {
  findMissingDevices,
  parseFilterAnswers,
  renderFilterQueries,
} from '../../core/observe/filters.ts'
import { parseLinks, type ObservedLink, type ObservedLinks } from '../../core/observe/links.ts'
import type { Skip } from '../../core/observe/tool-json.ts'
import type { Filter, FilterPlace } from '../../core/steps/filter.ts'
import { parseOffloads } from '../../core/steps/offload.ts'
import type { Run } from '../run.ts'

const SYS_NET = '/sys/class/net'
/** Of linux/if.h. */
const FLAGS = { UP: 0x1, NOARP: 0x80, PROMISC: 0x100, ALLMULTI: 0x200, MULTICAST: 0x1000 }
/** IN6_ADDR_GEN_MODE_NONE of linux/if_link.h. */
const NO_ADDRESS = '1'

/**
 * The named devices of the agent's own namespace, less what nobody asks of these: MAC, kind, queues, tunnel, other end.
 * Those that do not exist are left out.
 */
export async function observeLinks(names: readonly string[]): Promise<ObservedLinks> {
  const links = await Promise.all(names.map(async (name) => [name, await readLink(name)] as const))
  return new Map(links.flatMap(([name, link]) => (link === undefined ? [] : [[name, link]])))
}

/** As observeLinks, with all that there is to know; by a process, where any of them is there. */
export async function observeTunnels(run: Run, names: readonly string[]): Promise<ObservedLinks> {
  const there = [...(await observeLinks(names)).keys()]
  if (there.length === 0) return new Map()
  const input = there.map((name) => `link show dev ${name}\n`).join('')
  try {
    const said = await run(['ip', '-j', '-d', '-batch', '-'], { input })
    return new Map(said.split('\n').flatMap((line) => [...parseLinks(line)]))
  } catch (error) {
    // One that went in the meantime fails the batch as a whole: once more without it.
    const left = await observeLinks(there)
    if (left.size === there.length) throw error
    return observeTunnels(run, [...left.keys()])
  }
}

/** All links of another namespace that can be read. Throws CommandError when it cannot be entered, DecodeError when none can. */
export async function listPodLinks(
  run: Run,
  netnsPath: string,
  skip?: Skip,
): Promise<readonly ObservedLink[]> {
  const said = await run(['nsenter', `--net=${netnsPath}`, 'ip', '-j', '-d', 'link', 'show'])
  return [...parseLinks(said, skip).values()]
}

/**
 * Filters of the agent's own namespace; devices that are gone are left out. Each process of tc first reads all links
 * there are, so one for all is what many wires can afford.
 */
export async function readFilters(
  run: Run,
  hooks: readonly FilterPlace[],
): Promise<ReadonlyMap<string, readonly Filter[]>> {
  if (hooks.length === 0) return new Map()
  try {
    // "-force" goes on behind a missing one, so that all of them are named at once.
    const argv = ['tc', '-j', '-force', '-batch', '-']
    return parseFilterAnswers(
      splitLines(await run(argv, { input: renderFilterQueries(hooks) })),
      [],
      hooks,
    )
  } catch (error) {
    // A device that went in the meantime has no answer, and fails the batch as a whole: once more without it.
    const missing = error instanceof CommandError ? findMissingDevices(error.stderr) : []
    const left = hooks.filter(({ dev }) => !missing.includes(dev))
    if (left.length === hooks.length) throw error
    return readFilters(run, left)
  }
}

/** Whether each device of the agent's own namespace leaves work to others; those that are gone are left out. */
export async function readOffloads(
  run: Run,
  devices: readonly string[],
): Promise<ReadonlyMap<string, boolean>> {
  if (devices.length === 0) return new Map()
  const script = 'for dev; do ethtool -k "$dev" 2>/dev/null; done; :'
  return parseOffloads(await run(['sh', '-c', script, 'sh', ...devices]))
}

/** IPv6 addresses of the agent's own namespace, by device: "fe80::1/64". */
export async function readIpv6Addresses(): Promise<ReadonlyMap<string, readonly string[]>> {
  const text = await readFile('/proc/net/if_inet6', 'utf8').catch((error: unknown) => {
    // A kernel without IPv6.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  })
  const rows = text.split('\n').filter((line) => line !== '')
  const list = rows.map((row) => {
    const [digits = '', , prefix = '', , , dev = ''] = row.split(/ +/)
    const address = normalizeIp(digits.replaceAll(/(....)(?=.)/g, '$1:'))
    return { dev, address: `${address}/${Number.parseInt(prefix, 16)}` }
  })
  return new Map(
    [...Map.groupBy(list, ({ dev }) => dev)].map(([dev, all]) => [
      dev,
      all.map(({ address }) => address),
    ]),
  )
}

// Of a device that is down the kernel does not say (EINVAL), and it may go down while we read.
async function readCarrier(name: string): Promise<boolean> {
  return (await readText(`${SYS_NET}/${name}/carrier`)) === '1'
}

/** The kernel's number of a device of the agent's own namespace; undefined where there is none. */
export async function readIfindex(name: string): Promise<number | undefined> {
  const text = await readText(`${SYS_NET}/${name}/ifindex`)
  return text === undefined ? undefined : Number(text)
}

/** Frames that a device of the agent's own namespace has received; undefined where there is none. */
export async function readReceived(name: string): Promise<number | undefined> {
  const text = await readText(`${SYS_NET}/${name}/statistics/rx_packets`)
  return text === undefined ? undefined : Number(text)
}

async function readLink(name: string): Promise<ObservedLink | undefined> {
  const files = ['flags', 'mtu', 'ifalias', 'ifindex']
  const read = await Promise.all(files.map(async (file) => readText(`${SYS_NET}/${name}/${file}`)))
  const [flags, mtu, alias, ifindex] = read
  if (flags === undefined || mtu === undefined || alias === undefined || ifindex === undefined)
    return undefined
  const isUp = (Number(flags) & FLAGS.UP) !== 0
  const [hasCarrier, genMode] = await Promise.all([
    isUp && readCarrier(name),
    readText(`/proc/sys/net/ipv6/conf/${name}/addr_gen_mode`),
  ])
  return {
    name,
    ifindex: Number(ifindex),
    mac: '',
    mtuBytes: Number(mtu),
    isUp,
    hasCarrier,
    flags: new Set(
      Object.entries(FLAGS).flatMap(([flag, bit]) => (Number(flags) & bit ? [flag] : [])),
    ),
    alias,
    kind: '',
    isMultiQueue: false,
    qdisc: undefined,
    genMode: genMode === NO_ADDRESS ? 'none' : genMode,
    vxlan: undefined,
  }
}

// Undefined where the device is not there, or goes while we read: sysfs says EINVAL of one that is unregistering.
async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EINVAL') return undefined
    throw error
  }
}

function splitLines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}
