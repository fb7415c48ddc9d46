// The pod's addresses, routes and resolvers: /proc and /etc of this container are those of the pod's
// network namespace. Nothing here is asked of the kernel but what it shows to anybody.
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

import { toPodNetwork } from '../core/domain/network-data-proc.ts'
import type { PodAddress, PodNetwork } from '../core/domain/network-data-proc.ts'

export function readPodNetwork(): PodNetwork {
  return toPodNetwork({
    upAddresses: listUpAddresses(),
    fibTrie: readText('/proc/net/fib_trie'),
    route: readText('/proc/net/route'),
    ifInet6: readText('/proc/net/if_inet6'),
    ipv6Route: readText('/proc/net/ipv6_route'),
    resolvConf: readText('/etc/resolv.conf'),
  })
}

function listUpAddresses(): PodAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([label, addresses = []]) =>
    addresses
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      // An address may have a label of its own, the link's name and a colon before it.
      .map(({ cidr }) => ({ link: label.split(':')[0] ?? label, address: cidr ?? '' })),
  )
}

/** Without IPv6 the kernel has no files for it. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
