// What iproute2's monitors print, one line an event. Text: their JSON does not work (iproute2 6.1).

/** A device was made, changed or deleted. A hint to look, no state: a port that leaves a bridge is "deleted" too. */
export interface LinkEvent {
  /** The device's namespace, as the listener's own numbers it. */
  readonly nsid: number | 'current'
  readonly ifindex: number
  readonly name: string
  /** IFF_UP: what its owner wants, not what the cable gives. */
  readonly isUp: boolean
  readonly isDeleted: boolean
  /**
   * The other end of a veth whose ends are in two namespaces: a pod end is known by its host end's index.
   * Which namespace that is in iproute2 says by a name where it knows one, of another namespace's
   * devices a wrong one; so it is not read.
   */
  readonly peer?: { readonly ifindex: number }
}

// A device name has neither white space nor ":", whoever chose it: a pod cannot forge a line.
const LINK = /^\[nsid (current|\d+)\](Deleted )?(\d+): ([^\s:]+): <([^>]*)>/
const PEER = /@if(\d+)$/

/** A line of `ip -o monitor link all-nsid`; undefined when it is none of a link. */
export function parseLinkEvent(line: string): LinkEvent | undefined {
  const match = LINK.exec(line)
  if (match === null) return undefined
  const [, nsid = '', deleted, ifindex, label = '', flags = ''] = match
  const peerIndex = PEER.exec(label)?.[1]
  return {
    nsid: nsid === 'current' ? nsid : Number(nsid),
    ifindex: Number(ifindex),
    name: label.replace(/@[^@]*$/, ''),
    isUp: flags.split(',').includes('UP'),
    isDeleted: deleted !== undefined,
    ...(peerIndex === undefined ? {} : { peer: { ifindex: Number(peerIndex) } }),
  }
}

// An ingress or clsact qdisc takes its filters along. Filters that are made are our own, or nobody's
// concern. Continuation lines are indented.
const FILTER = /^deleted (?:filter|qdisc (?:clsact|ingress) \S+) dev (\S+) /

/** The device that lost filters by what a line of `tc monitor` says; undefined when none did. */
export function parseFilterLoss(line: string): string | undefined {
  return FILTER.exec(line)?.[1]
}

/** Whether a monitor's complaint means that events are lost. */
export function isLoss(complaint: string): boolean {
  return /netlink receive error|No buffer space available|Message truncated/.test(complaint)
}

/** The whole lines of what has arrived so far, and the beginning of the next one. */
export function takeLines(text: string): {
  readonly lines: readonly string[]
  readonly rest: string
} {
  const lines = text.split('\n')
  const rest = lines.pop() ?? ''
  return { lines, rest }
}
