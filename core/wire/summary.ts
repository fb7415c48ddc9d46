// A wire in a few words, for `kubectl get wires` and for people: a pure function of its document.
import {
  ENDS_PER_WIRE,
  describeEnd,
  listNodes,
  toAttachmentKey,
  type NodeReport,
  type Wire,
} from './wire.ts'

export const WIRE_STATES = ['Connected', 'Connecting', 'Waiting', 'Failed', 'Unplugged'] as const
export type WireState = (typeof WIRE_STATES)[number]

export interface WireSummary {
  readonly state: WireState
  /** Why it is so, as a sentence without its full stop. */
  readonly message: string
  /** "vm/r1 ge0, pod/h1 eth1". */
  readonly ends: string
  /** "n1, n2"; one name when both ends are on one node. */
  readonly nodes: string
  /** "1500", or "1500, 9000" where the ends were told different ones. */
  readonly mtu: string
}

export function summarizeWire(wire: Wire): WireSummary {
  const { ends } = wire
  return {
    ...summarizeState(wire),
    ends: ends.map(describeEnd).join(', '),
    nodes: listOnce(ends.map(({ node }) => node)),
    mtu: listOnce(ends.map(({ mtuBytes }) => mtuBytes)),
  }
}

/** Whether the ends were told different MTUs: what fits one of them the other may drop. */
export function hasMtuMismatch(wire: Wire): boolean {
  return new Set(wire.ends.map(({ mtuBytes }) => mtuBytes)).size > 1
}

/** Keys of a wire's attachments, in an order that all nodes agree on. */
export function listEndKeys(wire: Wire): readonly string[] {
  return wire.ends.map(toAttachmentKey).sort()
}

function listOnce(words: readonly (string | number)[]): string {
  return [...new Set(words)].join(', ')
}

function summarizeState(wire: Wire): Pick<WireSummary, 'state' | 'message'> {
  const { ends } = wire
  if (wire.isUnplugged)
    return { state: 'Unplugged', message: 'the cable is taken out (spec.unplugged)' }
  const keys = listEndKeys(wire).join()
  const isCurrent = (report: NodeReport): boolean => report.ends.join() === keys
  const reports = wire.reports.filter(isCurrent)
  const failed = reports.find(({ state }) => state === 'failed')
  if (failed !== undefined)
    return { state: 'Failed', message: `node ${failed.node}: ${failed.message ?? 'unknown'}` }
  const [first] = ends
  if (first === undefined)
    return {
      state: 'Unplugged',
      message: `no end is plugged in; something of it is still to be cleared on ${listNodes(wire).join(', ')}`,
    }
  if (ends.length < ENDS_PER_WIRE)
    return { state: 'Waiting', message: `only ${describeEnd(first)} is plugged in` }
  const missing = [...new Set(ends.map(({ node }) => node))].filter(
    (node) => !reports.some((report) => report.node === node && report.state === 'joined'),
  )
  if (missing.length > 0)
    return { state: 'Connecting', message: `node ${missing.join(' and ')} has not joined it yet` }
  const mismatch = hasMtuMismatch(wire) ? '; its ends were told different MTUs' : ''
  const down = ends.filter(({ isUp }) => !isUp).map((end) => `; ${describeEnd(end)} is down`)
  const standing = wire.standbys
    .filter(({ isTarget }) => isTarget)
    .map((one) => `; ${describeEnd(one)} stands by on node ${one.node} for its migration`)
  const message = `both ends are joined${mismatch}${[...down, ...standing].join('')}`
  return { state: 'Connected', message }
}
