// The ways between nodes that share a wire: which there are, what to send by one, and what a measured one
// means for the wires.
import type { Heard } from './path-probe.ts'
import { newFinding, type Finding } from './finding.ts'
import { getOverheadBytes } from '../wire/tunnel.ts'
import type { Wire } from '../wire/wire.ts'

/** One direction between two nodes. */
export interface NodePath {
  readonly from: string
  readonly to: string
  readonly fromAddress: string
  readonly toAddress: string
  /** Of a wire that the two share. */
  readonly vni: number
}

/** What is measured of it. */
export interface PathMeasure extends NodePath {
  readonly port: number
  /** MTU of the sender's own link. */
  readonly linkMtuBytes: number
  /** Whether a short datagram reached the far node, and whether it got through its firewalls. */
  readonly isArriving: boolean
  readonly isOpen: boolean
  /** The longest IP packet that arrives whole; null where none does. */
  readonly pathMtuBytes: number | null
  /** Whether a longer one arrives in pieces; null where it is not sent so: on IPv6. */
  readonly hasFragments: boolean | null
}

/** Both directions between any two nodes that have a tunnel of the same wire, sorted. */
export function listPaths(wires: readonly Wire[]): readonly NodePath[] {
  const paths = new Map<string, NodePath>()
  for (const { ends, vni, tunnelNodes } of wires)
    for (const { node: from, address: fromAddress } of ends)
      for (const { node: to, address: toAddress } of ends)
        if (
          vni !== undefined &&
          from !== to &&
          [from, to].every((node) => tunnelNodes.includes(node))
        )
          paths.set(`${from} ${to}`, { from, to, fromAddress, toAddress, vni })
  return [...paths].sort(([one], [other]) => one.localeCompare(other)).map(([, path]) => path)
}

/** The least that is sent, and the most that UDP takes: lengths of IP packets, with their headers. */
const SHORT_BYTES = 128
const LONG_BYTES = 60_000
const RUNGS = 24

export function toMeasure(
  path: NodePath,
  port: number,
  mtuBytes: number,
  { whole, delivered }: Heard,
): PathMeasure {
  const linkMtuBytes = Math.min(mtuBytes, LONG_BYTES)
  const [longBytes] = listLong(path, linkMtuBytes)
  return {
    ...path,
    port,
    linkMtuBytes,
    isArriving: whole.includes(SHORT_BYTES),
    isOpen: delivered.includes(SHORT_BYTES),
    pathMtuBytes: whole.length === 0 ? null : Math.max(...whole),
    hasFragments: longBytes === undefined ? null : delivered.includes(longBytes),
  }
}

/** What to send next, to find the longest packet that arrives whole; nothing once that is known. */
export function listNextSizes(measure: PathMeasure, tried: readonly number[]): readonly number[] {
  const { linkMtuBytes: linkBytes, pathMtuBytes: reached } = measure
  if (tried.length === 0) return [SHORT_BYTES, linkBytes, ...listLong(measure, linkBytes)]
  if (reached === null || reached >= linkBytes) return []
  const failed = Math.min(...tried.filter((bytes) => bytes > reached))
  const count = Math.min(RUNGS, failed - reached - 1)
  return Array.from({ length: count }, (_, at) =>
    Math.round(reached + ((at + 1) * (failed - reached)) / (count + 1)),
  )
}

// What goes in fragments; on IPv6 tunnels send none.
function listLong({ toAddress }: NodePath, linkBytes: number): readonly number[] {
  return toAddress.includes(':') ? [] : [Math.min(2 * linkBytes, LONG_BYTES)]
}

export function findOnPath(measure: PathMeasure): readonly Finding[] {
  const { from, to, port, isArriving, isOpen, pathMtuBytes, linkMtuBytes, hasFragments } = measure
  const way = `from ${from} (${measure.fromAddress}) to ${to} (${measure.toAddress})`
  // The node is the one where it is to be mended, as far as that can be known.
  const place = { node: to }
  if (!isOpen)
    return [
      newFinding(
        'port-closed',
        `UDP port ${port} is closed ${way}: ${isArriving ? `a firewall on ${to} drops what comes` : 'nothing arrives there'}`,
        isArriving
          ? `open UDP port ${port} in the firewall of ${to} for the nodes' addresses`
          : `open UDP port ${port} between the nodes, in security groups and firewalls on the way`,
        place,
      ),
    ]
  const room = (pathMtuBytes ?? 0) - getOverheadBytes(measure.toAddress)
  const findings: Finding[] = []
  if (pathMtuBytes !== null && pathMtuBytes < linkMtuBytes)
    findings.push(
      newFinding(
        'path-mtu',
        `IP packets longer than ${pathMtuBytes} bytes do not arrive whole ${way}, though the link of ${from} takes ${linkMtuBytes}`,
        `give the networks of wires between them "mtu": ${room}, or raise the MTU on the way to ${linkMtuBytes}`,
        // Pieces arrive: it costs speed and no frame.
        hasFragments === true ? { ...place, level: 'hint' } : place,
      ),
    )
  if (hasFragments === false)
    findings.push(
      newFinding(
        'fragments-lost',
        `Fragments are dropped ${way}: frames with more than ${room} bytes behind their Ethernet header do not cross`,
        `let IP fragments of UDP pass between the nodes, or give the networks of wires between them "mtu": ${room}`,
        place,
      ),
    )
  return findings
}
