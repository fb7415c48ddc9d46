// What the nodes make of the world once they are left alone: each agent that runs looks at its own
// documents, its own kernel and the store, until none has anything left to do.
import {
  claimEnd,
  findWire,
  getNode,
  hasRoom,
  isSameEnd,
  isSameNic,
  makeWire,
  releaseClaim,
  removeLinks,
  removeTunnel,
  sweepWires,
  toLinkName,
  toTunnelName,
  WIRES,
  type Claim,
  type Document,
  type Link,
  type NodeState,
  type Plug,
  type Standby,
  type StoredWire,
  type World,
} from './world.ts'

const ROUNDS_MAX = 50

/** A new world, where the nodes look in this order; the given one stays as it is. */
export function settle(given: World, order: readonly string[]): World {
  const world = structuredClone(given)
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const before = JSON.stringify(world)
    for (const name of order) {
      const node = getNode(world, name)
      if (node.isRunning) lookAround(world, node)
    }
    if (JSON.stringify(world) === before) return world
  }
  throw new Error(`The model does not come to rest: ${JSON.stringify(world)}`)
}

function lookAround(world: World, node: NodeState): void {
  // Without the store an agent leaves wires as they are.
  if (!node.isConnected) return
  honourNotes(node)
  for (const document of node.documents) lookAtDocument(world, node, document)
  for (const wire of WIRES) lookAtWire(world, node, wire)
  sweepWires(world)
}

function honourNotes(node: NodeState): void {
  for (const note of node.notes) {
    const document = node.documents.find((one) => isSameNic(one, note))
    if (document !== undefined) document.phase = 'leaving'
  }
  node.notes = []
}

/** What an end comes to when its sandbox went, or its claim. */
function lookAtDocument(world: World, node: NodeState, document: Document): void {
  const hasSandbox = world.sandboxes.some(({ name }) => name === document.sandbox)
  if (document.phase === 'leaving' || !hasSandbox) {
    release(world, node, document)
    return
  }
  const stored = findWire(world, document.wire)
  const { ends = [], standbys = [] } = stored ?? {}
  const standby = standbys.find((one) => isSameNic(one, document))
  if (ends.some((end) => isSameNic(end, document))) {
    Object.assign(document, { phase: 'ready', isTarget: false })
    remakeLink(node, document)
  } else if (standby?.isTarget === true) remakeLink(node, document)
  else if (document.isTarget) {
    // Somebody removed the claim by hand, and its guest may come all the same.
    if (hasRoom(stored, document))
      makeWire(world, document.wire).standbys.push({ ...toClaim(document), isTarget: true })
  } else if (ends.some((end) => isSameEnd(end, document))) document.phase = 'released'
  else if (standby === undefined ? document.phase === 'ready' : isNext(standbys, standby)) {
    // A newer sandbox went, or somebody removed the claim by hand.
    if (hasRoom(stored, document)) claimEnd(makeWire(world, document.wire), toClaim(document))
  } else document.phase = 'released'
}

/** Of the older sandboxes of an end the newest has it first. */
function isNext(standbys: readonly Standby[], one: Standby): boolean {
  const older = standbys.filter((other) => !other.isTarget && isSameEnd(other, one))
  return older.at(-1) === one
}

/** An end whose devices somebody deleted gets new ones. */
function remakeLink(node: NodeState, { sandbox, ifname, pod, wire, node: on }: Document): void {
  const nic = { sandbox, ifname }
  if (node.links.some((link) => isSameNic(link, nic))) return
  node.links.push({ ...nic, pod, wire, node: on, isPodEndUp: true, isUp: false, target: undefined })
}

/** Everything an interface had goes, but for the sandbox, which is the runtime's. */
export function release(world: World, node: NodeState, document: Document): void {
  node.documents = node.documents.filter((one) => one !== document)
  removeLinks(node, (link) => isSameNic(link, document))
  const wire = findWire(world, document.wire)
  if (wire !== undefined) releaseClaim(wire, document)
}

export function toClaim({ sandbox, ifname, pod, node }: Plug): Claim {
  return { sandbox, ifname, pod, node, isUp: true }
}

function lookAtWire(world: World, node: NodeState, name: string): void {
  const wire = findWire(world, name)
  const links = node.links.filter((link) => link.wire === name)
  for (const link of links) tellOwnersState(wire, link)
  const held = links.filter((link) => wire?.ends.some((end) => isSameNic(end, link)))
  const targets = links.filter((link) =>
    wire?.standbys.some((one) => one.isTarget && isSameNic(one, link)),
  )
  for (const link of links) if (!held.includes(link) && !targets.includes(link)) disconnect(link)
  // Its NIC sees no change when its guest comes; where nothing is ready for that one it leads nowhere.
  for (const target of targets) Object.assign(target, { target: undefined, isUp: true })
  const [first, second] = held
  const isIn = wire !== undefined && !wire.isUnplugged
  const far =
    second === undefined && wire?.ends.length === 2
      ? wire.ends.find((end) => end.node !== node.name)
      : undefined
  const coming = isIn ? findComing(wire) : undefined
  const guest = findLink(targets, coming?.target)
  const other = findLink(held, coming?.other)
  const ready = [
    ...(coming && other && coming.target.node !== node.name ? [coming.target.node] : []),
    ...(coming && guest && coming.other.node !== node.name ? [coming.other.node] : []),
  ]
  const joined = isIn && first !== undefined ? far : undefined
  const [remote, ...others] = joined === undefined ? ready : [joined.node, ...ready]
  const end = joined === undefined ? (other ?? guest) : first
  const isOpen = isIn && remote !== undefined && mayOpenTunnel(wire, node.name, coming)
  if (isOpen && end !== undefined) openTunnel(wire, node, [remote, ...others], end)
  else closeTunnel(wire, node, name)
  if (isIn && first !== undefined && second !== undefined) {
    connect(first, toLinkName(second), isOwnerUp(wire, second))
    connect(second, toLinkName(first), isOwnerUp(wire, first))
  } else if (isOpen && joined !== undefined && first !== undefined)
    connect(first, toTunnelName(name), joined.isUp)
  else held.forEach(disconnect)
  // What the guest sends gets through at once, and where a tunnel is for it alone, so does what comes for it.
  if (guest !== undefined && other !== undefined) guest.target = toLinkName(other)
  else if (guest !== undefined && isOpen && end === guest) guest.target = toTunnelName(name)
}

function findLink(among: readonly Link[], claim: Claim | undefined): Link | undefined {
  return claim && among.find((link) => isSameNic(link, claim))
}

/** The migration that a wire is made ready for: of two the one that was begun first. */
function findComing(
  wire: StoredWire,
): { readonly target: Standby; readonly other: Claim } | undefined {
  const target = wire.standbys.find(({ isTarget }) => isTarget)
  const other = target && wire.ends.find((end) => !isSameEnd(end, target))
  return target && other && { target, other }
}

function tellOwnersState(wire: StoredWire | undefined, link: Link): void {
  const claim = wire?.ends.find((end) => isSameNic(end, link))
  if (claim !== undefined) claim.isUp = link.isPodEndUp
}

function isOwnerUp(wire: StoredWire, link: Link): boolean {
  return wire.ends.find((end) => isSameNic(end, link))?.isUp ?? false
}

// The node of the newest end, or of a migration's target, claims the wire's VNI; the others wait for it.
function mayOpenTunnel(
  wire: StoredWire,
  node: string,
  coming: { readonly target: Claim } | undefined,
): boolean {
  const newest = [wire.ends.at(-1), coming?.target]
  return wire.tunnelNodes.length > 0 || newest.some((claim) => claim?.node === node)
}

/** It leads to the first of these nodes, and lets all of them in. */
function openTunnel(
  wire: StoredWire,
  node: NodeState,
  nodes: readonly [string, ...string[]],
  link: Link,
): void {
  const [remote] = nodes
  if (!wire.tunnelNodes.includes(node.name)) wire.tunnelNodes.push(node.name)
  forbid(node, wire.name)
  for (const one of new Set(nodes)) node.peers.push({ wire: wire.name, remote: one })
  const tunnel = node.tunnels.find((one) => one.wire === wire.name)
  if (tunnel === undefined) node.tunnels.push({ wire: wire.name, remote, target: toLinkName(link) })
  else Object.assign(tunnel, { remote, target: toLinkName(link) })
}

function forbid(node: NodeState, wire: string): void {
  node.peers = node.peers.filter((peer) => peer.wire !== wire)
}

function closeTunnel(wire: StoredWire | undefined, node: NodeState, name: string): void {
  for (const link of node.links) if (link.target === toTunnelName(name)) disconnect(link)
  removeTunnel(node, name)
  forbid(node, name)
  if (wire !== undefined) wire.tunnelNodes = wire.tunnelNodes.filter((one) => one !== node.name)
}

function connect(link: Link, target: string, isUp: boolean): void {
  Object.assign(link, { target, isUp })
}

function disconnect(link: Link): void {
  Object.assign(link, { target: undefined, isUp: false })
}
