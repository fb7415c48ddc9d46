// Reads the pod's links from sysfs. A process without capabilities may read that, and it needs no child
// process.
import { readFileSync } from 'node:fs'

import type { LinkFacts, PodLinks } from '../core/domain/nic.ts'
import { findJoined } from '../core/domain/tap-alias.ts'

/** IFF_MULTI_QUEUE, linux/if_tun.h. */
const IFF_MULTI_QUEUE = 0x0100

/**
 * Facts of the named links that exist, and of the links that they are joined to. sysfsNet is /sys/class/net, or
 * a stand-in.
 */
export function readPodLinks(sysfsNet: string, names: Iterable<string>): PodLinks {
  const links = new Map<string, LinkFacts>()
  const wanted = new Set(names)
  // The loop also visits names that are added here.
  for (const name of wanted) {
    const mtu = readFact(sysfsNet, name, 'mtu')
    const address = readFact(sysfsNet, name, 'address')
    // Every link has both. Without them it is gone, perhaps since the line above.
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

function readFact(sysfsNet: string, link: string, fact: string): string | undefined {
  try {
    return readFileSync(`${sysfsNet}/${link}/${fact}`, 'utf8').trim()
  } catch (error) {
    // ENOTDIR: /sys/class/net also holds plain files ("bonding_masters"). ENODEV: the link disappeared between
    // open and read. EINVAL: the kernel is removing the link.
    if (isErrorCode(error, ['ENOENT', 'ENOTDIR', 'ENODEV', 'EINVAL'])) return undefined
    throw error
  }
}

function isErrorCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
