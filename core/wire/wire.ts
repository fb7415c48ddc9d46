// A wire: its ends, who stands by, its tunnel's VNI and what nodes report. Pure: a store applies these changes to its
// document atomically.

export interface WireId {
  /** The pods' namespace. The same lab in another namespace has wires of its own. */
  readonly namespace: string
  readonly name: string
}

/** An attachment: a sandbox that holds an end. */
export interface AttachmentId {
  readonly containerID: string
  readonly ifname: string
}

export interface EndClaim extends AttachmentId {
  /** "vm/r1", "pod/h1", "container/<containerID>". */
  readonly holder: string
  readonly node: string
  /** The node's underlay address: where the far end sends to. */
  readonly address: string
  /** What the end's owner was told. */
  readonly mtuBytes: number
  /** The pod's name, where a runtime gives one. */
  readonly pod: string | undefined
  /** Whether its owner has the interface up: then the far end has carrier. */
  readonly isUp: boolean
}

/** A claim that waits for its end, which another sandbox of the same holder has. */
export interface StandbyClaim extends EndClaim {
  /**
   * Whether its sandbox is a migration's target, which has the end once the guest runs there. Else a newer sandbox took
   * the end, and it comes back when that one goes.
   */
  readonly isTarget: boolean
}

/** An attachment whose end somebody freed, until its node knows; in 0.3.0 also one that a newer one took it from. */
export interface DisplacedClaim extends AttachmentId {
  readonly node: string
}

/** What the guest of a VM's end is shown of the carrier. */
export interface CarrierShown {
  /** One word: "Shown", or why it is not. */
  readonly reason: string
  /** A sentence without its full stop. */
  readonly message?: string | undefined
}

export interface GuestReport extends CarrierShown {
  /** The end's attachment key. */
  readonly end: string
}

/** What a node last did about its part of a wire. */
export interface NodeReport {
  readonly node: string
  readonly state: 'joined' | 'waiting' | 'failed'
  /** Keys of the attachments it saw: of others this says nothing. */
  readonly ends: readonly string[]
  /** Why it failed, or what it waits for. */
  readonly message?: string | undefined
  /** The code of that error (docs/errors.md), where it has one. Absent from agents before 0.4.0. */
  readonly code?: number
  /** Of each of its VM ends that there is something to say of. */
  readonly guests?: readonly GuestReport[]
}

export interface Wire extends WireId {
  /** Two at most. A wire without ends is kept only while a node still has to clear something of it. */
  readonly ends: readonly EndClaim[]
  /** Taken out by somebody, and it stays so, ends or no ends, until it is plugged in again. */
  readonly isUnplugged: boolean
  /** At most one end's holder is in both: of each it has the end, and these wait. */
  readonly standbys: readonly StandbyClaim[]
  /** Each node takes its own out once they lead nowhere: so a node that was away finds itself released. */
  readonly displaced: readonly DisplacedClaim[]
  /** Set from when the wire first crosses nodes until no node has a tunnel of it. */
  readonly vni: number | undefined
  /** Nodes that may have a tunnel with this VNI: each takes itself out when its device is gone. */
  readonly tunnelNodes: readonly string[]
  /** One per node that has an end or a tunnel, at most. */
  readonly reports: readonly NodeReport[]
}

export const ENDS_PER_WIRE = 2

export function toWireKey(id: WireId): string {
  return `${id.namespace}/${id.name}`
}

/** A namespace has no slash in it; a wire's name may. */
export function fromWireKey(key: string): WireId {
  const [namespace = '', ...name] = key.split('/')
  return { namespace, name: name.join('/') }
}

/** Unique, since a containerID holds no "@"; also a file name. */
export function toAttachmentKey(id: AttachmentId): string {
  return `${id.containerID}@${id.ifname}`
}

/** Who an end belongs to, for people: "pod/h1 eth1". */
export function describeEnd(claim: EndClaim): string {
  return `${claim.holder} ${claim.ifname}`
}

/** The wire with its cable taken out, or put back. Out it is kept without ends, too. */
export function setUnplugged(
  wire: Wire | undefined,
  id: WireId,
  isUnplugged: boolean,
): Wire | undefined {
  if ((wire?.isUnplugged ?? false) === isUnplugged) return wire
  return orNothing({ ...(wire ?? newWire(id)), isUnplugged })
}

/** The wire without anything that is held for a node that is no more. */
export function forgetNode(wire: Wire | undefined, node: string): Wire | undefined {
  if (wire === undefined || !listNodes(wire).includes(node)) return wire
  const tunnelNodes = wire.tunnelNodes.filter((name) => name !== node)
  return orNothing({
    ...wire,
    ends: wire.ends.filter((end) => end.node !== node),
    standbys: wire.standbys.filter((one) => one.node !== node),
    displaced: wire.displaced.filter((one) => one.node !== node),
    tunnelNodes,
    vni: tunnelNodes.length === 0 ? undefined : wire.vni,
  })
}

/** The end on another node, where this node has the other one. */
export function findFarEnd(wire: Wire | undefined, node: string): EndClaim | undefined {
  const ends = wire?.ends ?? []
  return ends.length === ENDS_PER_WIRE && ends.some((end) => end.node === node)
    ? ends.find((end) => end.node !== node)
    : undefined
}

/** A migration that a wire is made ready for. */
export interface Coming {
  readonly target: StandbyClaim
  /** The end that the target is joined to once its guest has come. */
  readonly other: EndClaim
}

/**
 * Where both ends migrate it is the one that was begun first: a tunnel leads to one end on each node. The other one is
 * made ready once that is over.
 */
export function findComing(wire: Wire | undefined): Coming | undefined {
  if (wire === undefined || wire.isUnplugged) return undefined
  const [target] = wire.standbys.filter((one) => one.isTarget)
  const other = target && wire.ends.find((end) => !isSameEnd(end, target))
  return target && other && { target, other }
}

/**
 * Whether this node may open a tunnel now: the wire has its VNI, or it is for this node to claim one, which is for the
 * node of the newest end, and of a migration's target. The others wait for the wire to change.
 */
export function mayOpenTunnel(wire: Wire | undefined, node: string): boolean {
  const newest = [wire?.ends.at(-1), findComing(wire)?.target]
  return wire?.vni !== undefined || newest.some((claim) => claim?.node === node)
}

/** The wire with a tunnel on this node. A VNI that the wire has already stays. */
export function openTunnel(wire: Wire | undefined, node: string, vni: number): Wire | undefined {
  if (wire === undefined) return undefined
  const isOpen = wire.tunnelNodes.includes(node)
  const tunnelNodes = isOpen ? wire.tunnelNodes : [...wire.tunnelNodes, node]
  return { ...wire, vni: wire.vni ?? vni, tunnelNodes }
}

/** The wire with another VNI in the place of this one; the same wire where it has another by now. */
export function changeVni(wire: Wire | undefined, from: number, to: number): Wire | undefined {
  return wire?.vni === from ? { ...wire, vni: to } : wire
}

/** The wire once this node's tunnel is gone. With the last one it loses its VNI. */
export function closeTunnel(wire: Wire | undefined, node: string): Wire | undefined {
  if (wire === undefined || !wire.tunnelNodes.includes(node)) return wire
  const tunnelNodes = wire.tunnelNodes.filter((name) => name !== node)
  return orNothing({ ...wire, tunnelNodes, vni: tunnelNodes.length === 0 ? undefined : wire.vni })
}

/** All that a node acts on, as one word: two documents of the same are nothing to look at again. */
export function toClaimsKey(wire: Wire | undefined): string {
  return JSON.stringify({ ...wire, reports: [] })
}

/** The nodes that have anything of a wire: those whom a change of it concerns. */
export function listNodes(wire: Wire): readonly string[] {
  const claims = [...wire.ends, ...wire.standbys, ...wire.displaced]
  return [...new Set([...claims.map(({ node }) => node), ...wire.tunnelNodes])].sort()
}

/** The wire with a node's report in the place of its earlier one; the same wire when that says the same. */
export function reportWire(wire: Wire | undefined, report: NodeReport): Wire | undefined {
  if (wire === undefined || !listNodes(wire).includes(report.node)) return wire
  const earlier = wire.reports.find(({ node }) => node === report.node)
  if (earlier !== undefined && isSameReport(earlier, report)) return wire
  const others = wire.reports.filter(({ node }) => node !== report.node)
  return { ...wire, reports: [...others, report] }
}

function isSameReport(a: NodeReport, b: NodeReport): boolean {
  return (
    a.state === b.state &&
    a.message === b.message &&
    a.ends.join() === b.ends.join() &&
    renderGuests(a) === renderGuests(b)
  )
}

function renderGuests({ guests = [] }: NodeReport): string {
  return JSON.stringify(guests.map(({ end, reason, message }) => [end, reason, message]))
}

/** The wire with this word about a guest in the report of its end's node, where that has reported. */
export function reportGuest(wire: Wire | undefined, guest: GuestReport): Wire | undefined {
  const node = wire?.ends.find((end) => toAttachmentKey(end) === guest.end)?.node
  const report = wire?.reports.find((one) => one.node === node)
  if (report === undefined) return wire
  const others = (report.guests ?? []).filter(({ end }) => end !== guest.end)
  return reportWire(wire, { ...report, guests: [...others, guest] })
}

export function newWire(id: WireId): Wire {
  const { namespace, name } = id
  return {
    namespace,
    name,
    ends: [],
    isUnplugged: false,
    standbys: [],
    displaced: [],
    vni: undefined,
    tunnelNodes: [],
    reports: [],
  }
}

/** Undefined when nothing is left of it. With the last it has of a wire gone a node has no more to say. */
export function orNothing(wire: Wire): Wire | undefined {
  const nodes = listNodes(wire)
  if (nodes.length === 0 && !wire.isUnplugged) return undefined
  return { ...wire, reports: wire.reports.filter(({ node }) => nodes.includes(node)) }
}

/** Whether two claims are for one end: of one holder's NIC. */
export function isSameEnd(
  a: Pick<EndClaim, 'holder' | 'ifname'>,
  b: Pick<EndClaim, 'holder' | 'ifname'>,
): boolean {
  return a.holder === b.holder && a.ifname === b.ifname
}
