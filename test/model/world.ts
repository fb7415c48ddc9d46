// The model: what a few nodes, their sandboxes and the store hold, as plain data. It shares no code
// with the product, so that it can disagree.

export const NODES = ['n1', 'n2', 'n3'] as const
export const WIRES = ['w1', 'w2'] as const
export const PODS = ['a', 'b', 'c'] as const
export const NICS = ['eth1', 'eth2'] as const

/** One interface of one sandbox. */
export interface Nic {
  readonly sandbox: string
  readonly ifname: string
}

/** What a runtime has asked for: an ADD that was answered, and no DEL yet. */
export interface Plug extends Nic {
  readonly pod: string
  readonly wire: string
  readonly node: string
}

export interface Sandbox {
  readonly name: string
  readonly pod: string
  readonly node: string
}

export interface Claim extends Nic {
  readonly pod: string
  readonly node: string
  isUp: boolean
}

/** Who waits for an end that another sandbox of the same pod has. */
export interface Standby extends Claim {
  /** A migration's target, until its guest has come; else an older sandbox, whose end a newer one took. */
  readonly isTarget: boolean
}

/** A wire in the store. */
export interface StoredWire {
  readonly name: string
  /** Newest last. */
  ends: Claim[]
  isUnplugged: boolean
  /** Newest last. */
  standbys: Standby[]
  tunnelNodes: string[]
}

export interface Document extends Plug {
  phase: 'ready' | 'released' | 'leaving'
  /** Whether it was made for a migration whose guest has not come yet. */
  isTarget: boolean
}

/** A veth pair: the host end, and the pod end whose owner may set it down. */
export interface Link extends Plug {
  isPodEndUp: boolean
  isUp: boolean
  /** The name of a device; "gone" for a redirect whose target is no more. */
  target: string | undefined
}

export interface Tunnel {
  readonly wire: string
  remote: string
  target: string | undefined
}

export interface NodeState {
  readonly name: string
  isRunning: boolean
  /** Whether its agent reaches the store. */
  isConnected: boolean
  links: Link[]
  tunnels: Tunnel[]
  /** Whom it lets in; outlives a tunnel that somebody deletes. */
  peers: { readonly wire: string; readonly remote: string }[]
  documents: Document[]
  /** Interfaces whose DEL found no agent. */
  notes: Nic[]
}

export interface World {
  sandboxes: Sandbox[]
  plugs: Plug[]
  wires: StoredWire[]
  readonly nodes: readonly NodeState[]
}

export function newWorld(): World {
  const nodes = NODES.map((name) => ({
    name,
    isRunning: true,
    isConnected: true,
    links: [],
    tunnels: [],
    peers: [],
    documents: [],
    notes: [],
  }))
  return { sandboxes: [], plugs: [], wires: [], nodes }
}

export function toKey({ sandbox, ifname }: Nic): string {
  return `${sandbox} ${ifname}`
}

export function isSameNic(a: Nic, b: Nic): boolean {
  return toKey(a) === toKey(b)
}

/** Whether two sandboxes claim the same end: a pod's interface, whichever sandbox it is in. */
export function isSameEnd(
  a: { readonly pod: string; readonly ifname: string },
  b: { readonly pod: string; readonly ifname: string },
): boolean {
  return a.pod === b.pod && a.ifname === b.ifname
}

export function getNode(world: World, name: string): NodeState {
  const node = world.nodes.find((one) => one.name === name)
  if (node === undefined) throw new Error(`No node "${name}"`)
  return node
}

export function findWire(world: World, name: string): StoredWire | undefined {
  return world.wires.find((wire) => wire.name === name)
}

export function makeWire(world: World, name: string): StoredWire {
  const found = findWire(world, name)
  if (found !== undefined) return found
  const wire: StoredWire = { name, ends: [], isUnplugged: false, standbys: [], tunnelNodes: [] }
  world.wires.push(wire)
  return wire
}

/** Whether a claim finds an end of its own: two others may have them, or a migration's target may wait for one. */
export function hasRoom(
  wire: StoredWire | undefined,
  asked: { readonly pod: string; readonly ifname: string },
): boolean {
  const targets = wire?.standbys.filter(({ isTarget }) => isTarget) ?? []
  const taken = [...(wire?.ends ?? []), ...targets].filter((one) => !isSameEnd(one, asked))
  return new Set(taken.map(({ pod, ifname }) => `${pod} ${ifname}`)).size < 2
}

/** The end becomes this one's, whose older sandbox waits from then on. */
export function claimEnd(wire: StoredWire, claim: Claim): void {
  const older = wire.ends.filter((end) => isSameEnd(end, claim) && !isSameNic(end, claim))
  wire.ends = [...wire.ends.filter((end) => !isSameEnd(end, claim)), claim]
  const others = wire.standbys.filter((one) => !isSameNic(one, claim))
  wire.standbys = [...others, ...older.map((end) => ({ ...end, isTarget: false }))]
}

/** Nothing of the wire is this interface's any more. */
export function releaseClaim(wire: StoredWire, nic: Nic): void {
  wire.ends = wire.ends.filter((end) => !isSameNic(end, nic))
  wire.standbys = wire.standbys.filter((one) => !isSameNic(one, nic))
}

/** Forgets wires that hold nothing. */
export function sweepWires(world: World): void {
  world.wires = world.wires.filter(
    ({ ends, isUnplugged, standbys, tunnelNodes }) =>
      isUnplugged || ends.length + standbys.length + tunnelNodes.length > 0,
  )
}

/** The host end's name among devices, and a tunnel's. */
export function toLinkName(nic: Nic): string {
  return toKey(nic)
}

export function toTunnelName(wire: string): string {
  return `tunnel ${wire}`
}

/** Devices that go leave the redirects into them behind. */
export function removeLinks(node: NodeState, isGone: (link: Link) => boolean): void {
  const gone = node.links.filter(isGone)
  node.links = node.links.filter((link) => !gone.includes(link))
  for (const link of gone) danglify(node, toLinkName(link))
}

export function removeTunnel(node: NodeState, wire: string): void {
  node.tunnels = node.tunnels.filter((tunnel) => tunnel.wire !== wire)
  danglify(node, toTunnelName(wire))
}

function danglify(node: NodeState, device: string): void {
  for (const one of [...node.links, ...node.tunnels]) if (one.target === device) one.target = 'gone'
}
