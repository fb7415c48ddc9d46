// What the nodes make of the world once they are left alone: each agent that runs looks at its own
// documents, its own kernel and the store, until none has anything left to do.
import {
  findWire,
  getNode,
  isSameEnd,
  isSameNic,
  makeWire,
  removeLinks,
  removeTunnel,
  sweepWires,
  toLinkName,
  toTunnelName,
  WIRES,
  type Document,
  type Link,
  type NodeState,
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
  if (document.phase === 'released') return
  const stored = findWire(world, document.wire)
  const ends = stored?.ends ?? []
  if (ends.some((end) => isSameNic(end, document))) {
    remakeLink(node, document)
    return
  }
  const isDisplaced = stored?.displaced.some((one) => isSameNic(one, document)) ?? false
  if (isDisplaced || ends.some((end) => isSameEnd(end, document))) document.phase = 'released'
  // Somebody removed the claim by hand.
  else if (ends.length < 2)
    makeWire(world, document.wire).ends.push({ ...toClaim(document), isUp: true })
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
  if (wire === undefined) return
  wire.ends = wire.ends.filter((end) => !isSameNic(end, document))
  wire.displaced = wire.displaced.filter((one) => !isSameNic(one, document))
}

export function toClaim({ sandbox, ifname, pod, node }: Document): {
  sandbox: string
  ifname: string
  pod: string
  node: string
} {
  return { sandbox, ifname, pod, node }
}

function lookAtWire(world: World, node: NodeState, name: string): void {
  const wire = findWire(world, name)
  const links = node.links.filter((link) => link.wire === name)
  for (const link of links) tellOwnersState(wire, link)
  const claims = (wire?.ends ?? []).filter((end) => links.some((link) => isSameNic(link, end)))
  const held = links.filter((link) => claims.some((claim) => isSameNic(claim, link)))
  for (const link of links) if (!held.includes(link)) disconnect(link)
  const [first, second] = held
  const isIn = wire !== undefined && !wire.isUnplugged
  const far = wire?.ends.length === 2 ? wire.ends.find((end) => end.node !== node.name) : undefined
  if (isIn && first !== undefined && second !== undefined) {
    closeTunnel(wire, node, name)
    connect(first, toLinkName(second), isOwnerUp(wire, second))
    connect(second, toLinkName(first), isOwnerUp(wire, first))
  } else if (isIn && first !== undefined && far !== undefined && mayOpenTunnel(wire, node.name)) {
    openTunnel(wire, node, far.node, first)
    connect(first, toTunnelName(name), far.isUp)
  } else {
    closeTunnel(wire, node, name)
    held.forEach(disconnect)
  }
  if (wire !== undefined) wire.displaced = wire.displaced.filter((one) => one.node !== node.name)
}

function tellOwnersState(wire: StoredWire | undefined, link: Link): void {
  const claim = wire?.ends.find((end) => isSameNic(end, link))
  if (claim !== undefined) claim.isUp = link.isPodEndUp
}

function isOwnerUp(wire: StoredWire, link: Link): boolean {
  return wire.ends.find((end) => isSameNic(end, link))?.isUp ?? false
}

// The node of the newest end claims the wire's VNI; the other one waits for it.
function mayOpenTunnel(wire: StoredWire, node: string): boolean {
  return wire.tunnelNodes.length > 0 || wire.ends.at(-1)?.node === node
}

function openTunnel(wire: StoredWire, node: NodeState, remote: string, link: Link): void {
  if (!wire.tunnelNodes.includes(node.name)) wire.tunnelNodes.push(node.name)
  forbid(node, wire.name)
  node.peers.push({ wire: wire.name, remote })
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
