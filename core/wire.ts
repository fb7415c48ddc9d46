// A wire and its two ends: who holds them, and the two changes there are, claim and release.
// Pure: a store applies these to its document atomically.
import { CNI_CODE, CniError } from './errors.ts'

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

/** An attachment that a newer one on another node took the end from, until its node knows. */
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
  /** Of each of its VM ends that there is something to say of. */
  readonly guests?: readonly GuestReport[]
}

export interface Wire extends WireId {
  /** Two at most. A wire without ends is kept only while a node still has to clear something of it. */
  readonly ends: readonly EndClaim[]
  /** Taken out by somebody, and it stays so, ends or no ends, until it is plugged in again. */
  readonly isUnplugged: boolean
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

/**
 * The wire with this claim in it. A claim of the same (holder, NIC) by another sandbox takes its own
 * end over. Throws CniError 101 when two others hold the ends.
 */
export function claimEnd(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire {
  const others = (wire?.ends ?? []).filter((end) => !isSameEnd(end, claim))
  if (others.length >= ENDS_PER_WIRE) {
    throw new CniError(
      CNI_CODE.WIRE_FULL,
      `Cannot plug ${describeEnd(claim)} into wire "${toWireKey(id)}": both ends are taken, by ${others.map(describeEnd).join(' and ')}`,
    )
  }
  // Those on the claim's own node need no note: that node sees who took the end.
  const displaced = [
    ...without(wire?.displaced ?? [], claim),
    ...findDisplaced(wire, claim)
      .filter(({ node }) => node !== claim.node)
      .map(toDisplaced),
  ]
  return { ...(wire ?? newWire(id)), ends: [...others, claim], displaced }
}

function toDisplaced({ containerID, ifname, node }: EndClaim): DisplacedClaim {
  return { containerID, ifname, node }
}

/** The claims that this one takes over: the same end, held by an older sandbox. */
export function findDisplaced(wire: Wire | undefined, claim: EndClaim): readonly EndClaim[] {
  return (wire?.ends ?? []).filter(
    (end) => isSameEnd(end, claim) && toAttachmentKey(end) !== toAttachmentKey(claim),
  )
}

export function holdsEnd(wire: Wire | undefined, attachment: AttachmentId): boolean {
  return (wire?.ends ?? []).some((end) => toAttachmentKey(end) === toAttachmentKey(attachment))
}

/** The wire with an earlier claim back in its place, where that is still free. */
export function restoreEnd(wire: Wire | undefined, id: WireId, claim: EndClaim): Wire | undefined {
  const ends = wire?.ends ?? []
  const isFree = ends.length < ENDS_PER_WIRE && !ends.some((end) => isSameEnd(end, claim))
  if (!isFree) return wire
  const displaced = without(wire?.displaced ?? [], claim)
  return { ...(wire ?? newWire(id)), ends: [...ends, claim], displaced }
}

/** The wire without this attachment, or undefined when nothing is left. Releasing the unknown changes nothing. */
export function releaseEnd(wire: Wire | undefined, attachment: AttachmentId): Wire | undefined {
  if (wire === undefined) return undefined
  const ends = without(wire.ends, attachment)
  const displaced = without(wire.displaced, attachment)
  const isSame = ends.length === wire.ends.length && displaced.length === wire.displaced.length
  return isSame ? wire : orNothing({ ...wire, ends, displaced })
}

/** The wire with an end whose sandbox is gone freed; that sandbox's own node, where it is another, gets a note. */
export function evictEnd(wire: Wire | undefined, gone: EndClaim, by: string): Wire | undefined {
  if (wire === undefined || !holdsEnd(wire, gone)) return wire
  const note = gone.node === by ? [] : [toDisplaced(gone)]
  return orNothing({
    ...wire,
    ends: without(wire.ends, gone),
    displaced: [...wire.displaced, ...note],
  })
}

function without<T extends AttachmentId>(list: readonly T[], gone: AttachmentId): readonly T[] {
  return list.filter((one) => toAttachmentKey(one) !== toAttachmentKey(gone))
}

/** The wire with what has changed about an end; the same wire when it says so already. */
export function changeEnd(
  wire: Wire | undefined,
  attachment: AttachmentId,
  change: Partial<Pick<EndClaim, 'isUp' | 'address'>>,
): Wire | undefined {
  const key = toAttachmentKey(attachment)
  const { isUp, address } = change
  const isChange = (end: EndClaim): boolean =>
    toAttachmentKey(end) === key &&
    ((isUp !== undefined && end.isUp !== isUp) ||
      (address !== undefined && end.address !== address))
  if (wire === undefined || !wire.ends.some(isChange)) return wire
  return { ...wire, ends: wire.ends.map((end) => (isChange(end) ? { ...end, ...change } : end)) }
}

/** The wire without the note of who was displaced; an end that it has again stays. */
export function clearDisplaced(wire: Wire | undefined, attachment: AttachmentId): Wire | undefined {
  if (wire === undefined) return undefined
  const displaced = without(wire.displaced, attachment)
  return displaced.length === wire.displaced.length ? wire : orNothing({ ...wire, displaced })
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

/**
 * Whether this node may open a tunnel now: the wire has its VNI, or it is for this node to claim one,
 * which is for the node of the newest end. The other one waits for the wire to change.
 */
export function mayOpenTunnel(wire: Wire | undefined, node: string): boolean {
  return wire?.vni !== undefined || wire?.ends.at(-1)?.node === node
}

/** The wire with a tunnel on this node. A VNI that the wire has already stays. */
export function openTunnel(wire: Wire | undefined, node: string, vni: number): Wire | undefined {
  if (wire === undefined) return undefined
  const isOpen = wire.tunnelNodes.includes(node)
  const tunnelNodes = isOpen ? wire.tunnelNodes : [...wire.tunnelNodes, node]
  return { ...wire, vni: wire.vni ?? vni, tunnelNodes }
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
  const claims = [...wire.ends, ...wire.displaced]
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

function newWire(id: WireId): Wire {
  const { namespace, name } = id
  return {
    namespace,
    name,
    ends: [],
    isUnplugged: false,
    displaced: [],
    vni: undefined,
    tunnelNodes: [],
    reports: [],
  }
}

// With the last it has of a wire gone a node has no more to say.
function orNothing(wire: Wire): Wire | undefined {
  const nodes = listNodes(wire)
  if (nodes.length === 0 && !wire.isUnplugged) return undefined
  return { ...wire, reports: wire.reports.filter(({ node }) => nodes.includes(node)) }
}

function isSameEnd(a: EndClaim, b: EndClaim): boolean {
  return a.holder === b.holder && a.ifname === b.ifname
}
