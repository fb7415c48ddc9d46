// The ways between nodes that share a wire: which there are, and what a measured one means for the wires.
import type { Heard } from './path-probe.ts'
import { newFinding, type Finding } from './finding.ts'
import { getOverheadBytes } from './tunnel.ts'
import { ENDS_PER_WIRE, type Wire } from './wire.ts'

/** One direction between two nodes. */
export interface NodePath {
  readonly from: string
  readonly to: string
  readonly fromAddress: string
  readonly toAddress: string
  /** Of a wire that the two share. */
  readonly vni: number
}

/** What a prober measured of it. */
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
  for (const { ends, vni, tunnelNodes } of wires) {
    const [a, b] = ends
    if (ends.length < ENDS_PER_WIRE || a === undefined || b === undefined) continue
    if (a.node === b.node || vni === undefined) continue
    if (![a, b].every(({ node }) => tunnelNodes.includes(node))) continue
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      paths.set(`${one.node} ${other.node}`, {
        from: one.node,
        to: other.node,
        fromAddress: one.address,
        toAddress: other.address,
        vni,
      })
  }
  return [...paths].sort(([one], [other]) => one.localeCompare(other)).map(([, path]) => path)
}

/** Whether a datagram of this length from there is among those heard. */
export function isHeard(list: Heard['whole'], address: string, bytes: number): boolean {
  return list.some((one) => one.bytes === bytes && one.address === address)
}

/** The longest one from there that was heard; undefined where none was. */
export function findLongest(list: Heard['whole'], address: string): number | undefined {
  const sizes = list.filter((one) => one.address === address).map(({ bytes }) => bytes)
  return sizes.length === 0 ? undefined : Math.max(...sizes)
}

export function findPathFaults(measure: PathMeasure): readonly Finding[] {
  const { from, to, port, isArriving, isOpen, pathMtuBytes, linkMtuBytes, hasFragments } = measure
  const way = `from ${from} (${measure.fromAddress}) to ${to} (${measure.toAddress})`
  // The node is the one where it is to be mended, as far as that can be known.
  const place = { node: to }
  if (!isOpen)
    return [
      newFinding(
        'port-closed',
        isArriving
          ? `UDP port ${port} is closed ${way}: a firewall on ${to} drops what comes`
          : `UDP port ${port} is closed ${way}: nothing arrives there`,
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
