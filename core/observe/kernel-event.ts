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
  readonly mtuBytes: number
  /** It has neither ARP nor multicast. */
  readonly isSilent: boolean
  /**
   * The other end of a veth whose ends are in two namespaces: a pod end is known by its host end's index.
   * Which namespace that is in iproute2 says by a name where it knows one, of another namespace's
   * devices a wrong one; so it is not read.
   */
  readonly peer?: { readonly ifindex: number }
}

// A device name has neither the kernel's white space nor ":", whoever chose it; all else it may have. An altname may be anything, a line feed in it:
// whoever is root in a pod can forge lines. Hence an event is nothing but a hint.
const LINK = /^\[nsid (current|\d+)\](Deleted )?(\d+): ([^ \t\n\v\f\r:]+): <([^>]*)> mtu (\d+)/
const PEER = /@if(\d+)$/

/** A line of `ip -o monitor link all-nsid`; undefined when it is none of a link. */
export function parseLinkEvent(line: string): LinkEvent | undefined {
  const match = LINK.exec(line)
  if (match === null) return undefined
  const [, nsid = '', deleted, ifindex, label = '', list = '', mtu] = match
  const flags = list.split(',')
  const peerIndex = PEER.exec(label)?.[1]
  return {
    nsid: nsid === 'current' ? nsid : Number(nsid),
    ifindex: Number(ifindex),
    name: label.replace(/@[^@]*$/, ''),
    isUp: flags.includes('UP'),
    isDeleted: deleted !== undefined,
    mtuBytes: Number(mtu),
    isSilent: flags.includes('NOARP') && !flags.includes('MULTICAST'),
    ...(peerIndex === undefined ? {} : { peer: { ifindex: Number(peerIndex) } }),
  }
}

/** A filter of a device was made, or one or more of them are gone. */
export interface FilterEvent {
  readonly dev: string
  /** Where it redirects to; undefined for one that is gone. */
  readonly target: string | undefined
}

// An ingress or clsact qdisc takes its filters along. What a filter does is said behind it, on a line that is indented.
const LOSS = /^deleted (?:filter|qdisc (?:clsact|ingress) \S+) dev ([^ ]+) /
const MADE = /^(?:added |replaced )?filter dev ([^ ]+) ingress /
const REDIRECT = /^\s+action order 1: mirred \((?:Egress|Ingress) Redirect to device ([^ )]+)\)/

/** Takes the lines of `tc monitor` one by one, and returns the event that a line completes. */
export function newFilterEvents(): (line: string) => FilterEvent | undefined {
  let made: string | undefined
  return (line) => {
    const target = REDIRECT.exec(line)?.[1]
    if (target !== undefined && made !== undefined) return { dev: made, target }
    if (!/^\s/.test(line)) made = MADE.exec(line)?.[1]
    const dev = LOSS.exec(line)?.[1]
    return dev === undefined ? undefined : { dev, target: undefined }
  }
}

/** Whether a monitor's complaint means that events are lost. */
export function isLoss(complaint: string): boolean {
  return /netlink receive error|No buffer space available|Message truncated/.test(complaint)
}

// With the table, or the chain, its rules go, and that is told of each.
const TABLE_LOSS = /^delete (?:rule|element) inet l2wire /

/** Whether a line of `nft monitor` says that a rule of our table is gone, or a permission; or may be. */
export function isTableLoss(line: string): boolean {
  return TABLE_LOSS.test(line) || line.includes('lost some netlink events')
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
