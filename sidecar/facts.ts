// The kernel's word about the pod's links, read from sysfs: all that a process without capabilities
// may ask, and no child process needed.
import { readdirSync, readFileSync } from 'node:fs'

import type { LinkFacts, PodLinks } from '../core/domain/nic.ts'
import { findJoined, isMark } from '../core/domain/tap-alias.ts'

/** IFF_MULTI_QUEUE, linux/if_tun.h. */
const IFF_MULTI_QUEUE = 0x0100

/** Facts of those of the named links that exist, and of those that they are joined to. sysfsNet is /sys/class/net, or a stand-in. */
export function readPodLinks(sysfsNet: string, names: Iterable<string>): PodLinks {
  const links = new Map<string, LinkFacts>()
  const wanted = new Set(names)
  // One that is added here is looked at in its turn.
  for (const name of wanted) {
    const mtu = readFact(sysfsNet, name, 'mtu')
    const address = readFact(sysfsNet, name, 'address')
    // Both are there for every link; without them it is gone, perhaps since the line above.
    if (mtu === undefined || address === undefined) continue
    const flags = readFact(sysfsNet, name, 'tun_flags')
    const joined = findJoined(readFact(sysfsNet, name, 'ifalias') ?? '')
    if (joined !== undefined) wanted.add(joined)
    links.set(name, {
      mtuBytes: Number(mtu),
      address,
      isMultiQueue: flags === undefined ? undefined : (Number(flags) & IFF_MULTI_QUEUE) !== 0,
      ...(joined === undefined ? {} : { joined }),
    })
  }
  return links
}

/**
 * Whether the agent has marked one of the pod's links: nothing else in this container tells one VM from
 * another before virt-launcher's first question. sysfsNet is /sys/class/net, or a stand-in.
 */
export function hasNetworkDataMark(sysfsNet: string): boolean {
  return readdirSync(sysfsNet).some((link) => isMark(readFact(sysfsNet, link, 'ifalias') ?? ''))
}

function readFact(sysfsNet: string, link: string, fact: string): string | undefined {
  try {
    return readFileSync(`${sysfsNet}/${link}/${fact}`, 'utf8').trim()
  } catch (error) {
    // ENOTDIR: /sys/class/net also holds plain files ("bonding_masters"). ENODEV: the link went
    // away between open and read. EINVAL: the kernel's answer for a link it is taking down.
    if (isErrorCode(error, ['ENOENT', 'ENOTDIR', 'ENODEV', 'EINVAL'])) return undefined
    throw error
  }
}

function isErrorCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
